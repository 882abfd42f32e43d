"""The synchronous client has the calls, parameters and types of the asynchronous one, and the same results."""

from __future__ import annotations

import asyncio
import inspect
import threading
import typing
from collections.abc import AsyncGenerator, Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from taod.client import AsyncClient, Client, ClientError, NoDaemon
from taod.client.sync_client import _Blocking
from taod.client.transport import Namespace
from taod.types.dataset import DatasetCreate
from taod.types.event import EventType
from taod.types.job import JobView
from tests.patience import PATIENCE_S

Served = tuple[Client, Callable[..., Any]]


def calls(namespace: object) -> dict[str, Any]:
    members = inspect.getmembers(type(namespace), inspect.isfunction)
    return {name: method for name, method in members if not name.startswith("_")}


@pytest.fixture
def blocking(contract: ModuleType) -> Iterator[Served]:
    """A client of a server that runs in another thread; `call(name, ...)` calls a method of its world."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = contract.ContractServer()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result()

    def call(name: str, *args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            return getattr(server.world, name)(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(run(), loop).result()

    with Client(server.url, server.world.user, server.world.token) as client:
        yield client, call
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_both_clients_have_the_same_calls() -> None:
    asynchronous = vars(AsyncClient("http://127.0.0.1:1", "u", "t"))
    namespaces = {name: value for name, value in asynchronous.items() if isinstance(value, Namespace)}
    with Client("http://127.0.0.1:1", "u", "t") as client:
        synchronous = {name: value for name, value in vars(client).items() if isinstance(value, _Blocking)}
    assert synchronous.keys() == namespaces.keys()
    for name, namespace in namespaces.items():
        found = calls(synchronous[name])
        assert found.keys() == calls(namespace).keys(), name
        for call, method in calls(namespace).items():
            assert inspect.signature(found[call]) == inspect.signature(method), f"{name}.{call}"
            assert found[call].__doc__ == method.__doc__
    assert inspect.signature(Client.health) == inspect.signature(AsyncClient.health)
    assert inspect.signature(Client.connect) == inspect.signature(AsyncClient.connect)


def test_each_call_waits_or_iterates_as_its_asynchronous_one() -> None:
    for name, namespace in vars(AsyncClient("http://127.0.0.1:1", "u", "t")).items():
        for call, method in calls(namespace).items() if isinstance(namespace, Namespace) else ():
            streams = typing.get_origin(typing.get_type_hints(method)["return"]) is AsyncGenerator
            assert streams == inspect.isasyncgenfunction(method), f"{name}.{call}"
            assert streams == (call in {"stream", "watch", "follow"})


def test_a_dataset_is_created_listed_and_deleted(blocking: Served) -> None:
    client, _ = blocking
    dataset = client.datasets.create(DatasetCreate("image_classification", "classification_pyt", name="cats"))
    assert [each.id for each in client.datasets.list().items] == [dataset.id]
    client.datasets.delete(dataset.id)
    assert client.datasets.list().total == 0


def test_errors_are_raised_in_the_calling_thread(blocking: Served) -> None:
    client, _ = blocking
    with pytest.raises(ClientError) as raised:
        client.jobs.get("0" * 8)
    assert raised.value.status == 404


def test_events_arrive_until_the_loop_is_left(blocking: Served) -> None:
    client, call = blocking
    job = call("add_job")
    connected = threading.Event()

    def change() -> None:
        connected.wait(PATIENCE_S)
        call("change", job.id, priority=7)

    changing = threading.Thread(target=change)
    changing.start()
    for event_type, body in client.events.stream(on_connection=lambda up, _: connected.set() if up else None):
        if event_type is EventType.JOB:
            assert isinstance(body, JobView)
            assert (body.id, body.priority) == (job.id, 7)
            break
    changing.join()


def test_a_job_is_watched_from_its_present_state(blocking: Served) -> None:
    client, call = blocking
    job = call("add_job")
    updates = client.jobs.watch(job.id)
    first = next(updates)
    assert isinstance(first, JobView)
    assert first.id == job.id
    updates.close()
    assert client.jobs.get(job.id).job.id == job.id


def test_a_closed_client_makes_no_calls() -> None:
    client = Client("http://127.0.0.1:1", "u", "t")
    with pytest.raises(NoDaemon):
        client.health()
    client.close()
    client.close()
    with pytest.raises(RuntimeError):
        client.health()
