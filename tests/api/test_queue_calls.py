"""The queue over HTTP: pause, order, moves, edits and limits, each with the words that those who wait read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from taod.api.app import create_app
from taod.services.composition import open_services
from taod.services.users import BEARER
from taod.types.event import EventType
from taod.types.queue import QueueState
from taod.types.state import State
from tests.api.conftest import HOST, PNG, Server
from tests.patience import PATIENCE_S


async def until(server: Server, holds: Any) -> None:
    async def wait() -> None:
        async with server.services.bus.subscribe(None) as events:
            while not holds():
                await anext(events)

    try:
        await asyncio.wait_for(wait(), PATIENCE_S)
    except TimeoutError:
        jobs = server.services.store.jobs.list()[0]
        raise AssertionError([(each.id, each.state, each.reason_text) for each in jobs]) from None


def job(server: Server, job_id: str) -> Any:
    return server.services.store.jobs.get(job_id)


@pytest.fixture
async def model(server: Server, images) -> str:
    data = await server.ready_dataset(images("train"), name="images")
    return await server.model(train_datasets=[data], eval_dataset=data)


@pytest.fixture
async def queued(server: Server, model: str) -> list[str]:
    """One job that runs, and three behind it, in their order."""
    ids = await server.call("POST", f"/model/{model}/job", 201, json=[{"actions": ["train"]}] * 4)
    await until(server, lambda: job(server, ids[0]).state is State.RUNNING)
    return ids


async def order(server: Server) -> list[str]:
    return [view["id"] for view in await server.call("GET", "/queue", 200)]


async def test_a_paused_queue_starts_nothing_says_so_and_stays_paused_over_a_restart(server, model) -> None:
    async with server.services.bus.subscribe(server.user.id) as events:
        answer = await server.client.patch("/api/v1/queue", json={"paused": True, "reason": "new driver"})
        event = await asyncio.wait_for(anext(events), PATIENCE_S)
    state = msgspec.json.decode(answer.content, type=QueueState)
    assert event.type is EventType.QUEUE and msgspec.json.decode(event.data, type=QueueState) == state
    assert (state.paused, state.by, state.reason) == (True, server.user.name, "new driver")
    (train,) = await server.call("POST", f"/model/{model}/job", 201, json=[{"actions": ["train"]}])
    words = f"waits: the queue is paused by {server.user.name}: new driver"
    await until(server, lambda: job(server, train).reason_text == words)
    assert (await server.client.get("/api/v1/queue")).json()["queued"] == 1

    await server.services.stop()
    again = open_services(server.services.config)
    transport = httpx.ASGITransport(create_app(again))
    async with httpx.AsyncClient(transport=transport, base_url=HOST, headers=server.client.headers) as client:
        await again.start()
        assert (await client.get("/api/v1/queue")).json()["reason"] == "new driver"
        await asyncio.sleep(0)
        assert again.store.jobs.get(train).state is State.QUEUED
        assert (await client.patch("/api/v1/queue", json={"paused": False})).json()["paused"] is False
        server.word("go")
        async with again.bus.subscribe(None) as stream:
            while again.store.jobs.get(train).state is not State.DONE:
                await asyncio.wait_for(anext(stream), PATIENCE_S)
    await again.stop()
    again.store.close()


async def test_only_a_paused_queue_has_a_reason(server) -> None:
    answer = await server.client.patch("/api/v1/queue", json={"reason": "x"})
    assert answer.status_code == 400 and "send paused = true with it" in answer.json()["error_desc"]
    await server.client.patch("/api/v1/queue", json={"paused": True})
    assert (await server.client.patch("/api/v1/queue", json={"reason": "x"})).json()["reason"] == "x"
    assert (await server.client.patch("/api/v1/queue", json={})).json()["reason"] == "x"
    assert (await server.client.patch("/api/v1/queue", json={"reason": "x" * 401})).status_code == 400
    assert (await server.client.patch("/api/v1/queue", json={"paused": False})).json()["reason"] == ""


async def test_queued_jobs_are_listed_in_order_and_moved(server, queued) -> None:
    _, a, b, c = queued
    assert await order(server) == [a, b, c]
    for many in ("size=9223372036854775806&skip=20", "skip=99999999999999999999"):
        assert (await server.client.get(f"{server.base}/queue?{many}")).status_code in (200, 400)
    page = await server.client.get(f"{server.base}/queue?skip=1&size=1")
    assert (page.json()[0]["id"], page.json()[0]["position"], page.headers["X-Total-Count"]) == (b, 2, "3")
    for body, expected in (
        ({"position": "front"}, [c, a, b]),
        ({"position": "back"}, [a, b, c]),
        ({"before": b}, [a, c, b]),
        ({"after": b}, [a, b, c]),
        ({"priority": 1}, [c, a, b]),
    ):
        await server.call("PATCH", f"/job/{c}", 200, json=body)
        assert await order(server) == expected
    detail = await server.call("GET", f"/job/{a}", 200)
    assert detail["job"]["position"] == 2
    views = {view["id"]: view["position"] for view in await server.call("GET", "/job", 200)}
    assert views == {queued[0]: None, c: 1, a: 2, b: 3}
    reported = [entry["reason"] for entry in (await server.call("GET", f"/job/{c}", 200))["history"]]
    assert reported[-5:] == [
        "changed by the user: moved to the front",
        "changed by the user: moved to the back",
        f"changed by the user: moved before train {b[:8]}",
        f"changed by the user: moved after train {b[:8]}",
        "changed by the user: priority 0 → 1",
    ]
    assert "send priority = 0 with it" in await server.rejected("PATCH", f"/job/{c}", json={"before": a})
    await server.call("PATCH", f"/job/{c}", 200, json={"before": b, "priority": 0})
    assert await order(server) == [a, c, b]
    for value, words in ((c, "is the job itself"), (queued[0], "name one that is queued"), ("x", "no such job")):
        assert words in await server.rejected("PATCH", f"/job/{c}", json={"after": value})
    for each in queued:
        await server.call("POST", f"/job/{each}/cancel", 200)
    await until(server, lambda: all(job(server, each).state.ended for each in queued))


async def test_a_rejected_change_changes_nothing(server, queued) -> None:
    before = job(server, queued[1])
    history = server.services.store.jobs.history(queued[1])
    await server.rejected("PATCH", f"/job/{queued[1]}", json={"priority": 7, "held": True, "position": "front"})
    assert job(server, queued[1]) == before
    assert server.services.store.jobs.history(queued[1]) == history
    server.word("go")
    await until(server, lambda: job(server, queued[0]).state.ended)


async def test_a_held_parent_is_named_so_and_its_release_lets_both_continue(server, model) -> None:
    await server.client.patch("/api/v1/queue", json={"paused": True})
    train, evaluate = await server.call("POST", f"/model/{model}/job", 201, json=[{"actions": ["train", "evaluate"]}])
    await until(server, lambda: job(server, train).state is State.QUEUED)
    await server.call("PATCH", f"/job/{train}", 200, json={"held": True})
    await until(server, lambda: job(server, evaluate).reason_text == f"waits for its parent train {train[:8]} (held)")
    await server.call("PATCH", f"/job/{train}", 200, json={"held": False})
    await until(server, lambda: job(server, evaluate).reason_text == f"waits for its parent train {train[:8]}")
    await until(server, lambda: "is paused by" in job(server, train).reason_text)


async def test_another_users_job_is_not_named_in_reasons(server, queued, images) -> None:
    services = server.services
    bob = services.users.add("bob")[0]
    token = services.users.issue(bob.id, kind=BEARER, label="test")
    base = f"/api/v1/user/{bob.id}"
    transport = httpx.ASGITransport(server.app)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url=HOST, headers=headers) as client:
        data = (
            await client.post(f"{base}/dataset", json={"type": "image_classification", "format": "classification_pyt"})
        ).json()["id"]
        await client.post(f"{base}/dataset/{data}/link", json={"path": str(images("val"))})
        model = (
            await client.post(f"{base}/model", json={"network_arch": "classification_pyt", "train_datasets": [data]})
        ).json()["id"]
        (his,) = (await client.post(f"{base}/model/{model}/job", json=[{"actions": ["train"]}])).json()
        await until(
            server, lambda: job(server, his).reason_text == "waits for a device: 1 of 1 leased by another user's job"
        )
        # Users take turns: he has none running, so he comes before those who were there first, and they are reported.
        assert [view["position"] for view in (await client.get(f"{base}/queue")).json()] == [1]
    holder = f"1 of 1 leased by job {queued[0][:8]} (train)"
    words = f"waits for a device: {holder}; users take turns, and its user has 1 running"
    await until(server, lambda: job(server, queued[1]).reason_text == words)
    server.word("go")
    await until(server, lambda: job(server, his).state is State.RUNNING)
    server.word("go")
    await until(server, lambda: job(server, his).state.ended)


class TestRetries:
    @pytest.fixture
    def config(self, config):
        config.supervision.retries = 3
        config.supervision.retry_exits = [1]
        config.supervision.backoff_s = 0.4
        return config

    async def test_a_job_that_waits_for_its_next_try_can_be_held_and_stays_so(self, server, model) -> None:
        first, second = await server.call("POST", f"/model/{model}/job", 201, json=[{"actions": ["train"]}] * 2)
        server.word("fail")
        # Not by `retry_at`: on a loaded machine its time may have come before it is checked.
        await until(server, lambda: job(server, first).retries == 1)
        await server.call("PATCH", f"/job/{first}", 200, json={"held": True})
        assert (job(server, first).state, job(server, first).reason_text) == (State.HELD, "held by the user")
        # The other one's try comes after the time at which the held one would have had its own.
        server.word("fail")
        await until(server, lambda: job(server, second).retries == 1)
        await until(server, lambda: job(server, second).attempt == 2)
        assert job(server, first).state is State.HELD
        server.word("go")
        await until(server, lambda: job(server, second).state is State.DONE)
        await server.call("PATCH", f"/job/{first}", 200, json={"held": False})
        server.word("go")
        await until(server, lambda: job(server, first).state is State.DONE)
        assert job(server, first).attempt == 2


class TestLimits:
    @pytest.fixture
    def config(self, config):
        config.scheduler.max_queued_per_user = 3
        config.scheduler.max_running_per_user = 1
        config.devices.cpu_slots = 2
        return config

    async def test_limits_are_kept_and_reported(self, server, model) -> None:
        runs = [{"actions": ["train"]}]
        first, second = await server.call("POST", f"/model/{model}/job", 201, json=runs * 2)
        await until(server, lambda: job(server, first).state is State.RUNNING)
        words = "waits: 1 job runs for its user, the most that scheduler.max_running_per_user allows"
        await until(server, lambda: job(server, second).reason_text == words)
        said = await server.rejected("POST", f"/model/{model}/job", json=runs * 3)
        assert "3 more would make 4 jobs of yours" in said and "scheduler.max_queued_per_user = 3" in said
        _third, fourth = await server.call("POST", f"/model/{model}/job", 201, json=runs * 2)
        await server.call("POST", f"/job/{fourth}/cancel", 200)
        (fifth,) = await server.call("POST", f"/model/{model}/job", 201, json=runs)
        said = await server.rejected("POST", f"/job/{fourth}/resume")
        assert "3 jobs of yours have not started" in said and "scheduler.max_queued_per_user" in said
        await server.call("POST", f"/job/{fifth}/cancel", 200)
        await server.call("POST", f"/job/{fourth}/resume", 200)
        server.word("go")
        await until(server, lambda: job(server, second).state is State.RUNNING)
        server.word("go")
        await until(server, lambda: job(server, second).state.ended)


class TestData:
    """Jobs that wait for their data continue when it is there, however it came to be."""

    @pytest.fixture
    def config(self, config):
        config.devices.cpu_slots = 2
        return config

    async def test_an_upload_that_fails_lets_those_continue_who_can_with_the_data_that_stayed(
        self, server, images
    ) -> None:
        data = await server.ready_dataset(images("train"), name="images")
        model = await server.model(train_datasets=[data])
        resume = asyncio.Event()

        async def broken() -> AsyncIterator[bytes]:
            yield b"no "
            await resume.wait()
            yield b"archive"

        path = f"{server.base}/dataset/{data}/upload"
        headers = {"Content-Type": "application/octet-stream"}
        upload = asyncio.create_task(server.client.post(path, content=broken(), headers=headers))
        async with server.services.bus.subscribe(None) as events:
            while (await asyncio.wait_for(anext(events), PATIENCE_S)).type is not EventType.UPLOAD:
                pass
        (train,) = await server.call("POST", f"/model/{model}/job", 201, json=[{"actions": ["train"]}])
        await until(server, lambda: "is still being uploaded" in job(server, train).reason_text)
        resume.set()
        assert (await asyncio.wait_for(upload, PATIENCE_S)).status_code == 400
        await until(server, lambda: job(server, train).state is State.RUNNING)
        server.word("go")
        await until(server, lambda: job(server, train).state is State.DONE)

    async def test_a_model_that_is_given_other_data_lets_its_jobs_continue(self, server, images) -> None:
        ready = await server.ready_dataset(images("train"))
        model = await server.model(train_datasets=[await server.dataset(name="empty")])
        async with server.services.bus.subscribe(None) as events:
            # The first reading of the devices starts a scheduling pass too: it must be over.
            while (await asyncio.wait_for(anext(events), PATIENCE_S)).type is not EventType.DEVICES:
                pass
        (train,) = await server.call("POST", f"/model/{model}/job", 201, json=[{"actions": ["train"]}])
        await until(server, lambda: "'empty' has no data yet" in job(server, train).reason_text)
        await server.call("PATCH", f"/model/{model}", 200, json={"train_datasets": [ready]})
        await until(server, lambda: job(server, train).state is State.RUNNING)
        server.word("go")
        await until(server, lambda: job(server, train).state is State.DONE)

    async def test_a_training_waits_for_the_conversion_of_its_data(self, server, tmp_path: Path) -> None:
        images, labels = tmp_path / "set" / "images", tmp_path / "set" / "labels"
        images.mkdir(parents=True)
        labels.mkdir()
        (images / "1.png").write_bytes(PNG)
        (labels / "1.txt").write_text("car 0 0 0 0 0 1 1 0 0 0 0 0 0 0\n")
        data = await server.ready_dataset(tmp_path / "set", type_="object_detection", format_="kitti", name="cars")
        model = await server.model("detectnet_v2", train_datasets=[data])
        (convert,) = await server.call("POST", f"/dataset/{data}/job", 201, json=[{"actions": ["convert"]}])
        await until(server, lambda: job(server, convert).state is State.RUNNING)
        (train,) = await server.call("POST", f"/model/{model}/job", 201, json=[{"actions": ["train"]}])
        words = f"waits: its train dataset 'cars' is being converted by convert {convert[:8]}"
        await until(server, lambda: job(server, train).reason_text == words)
        server.word("go")
        await until(server, lambda: job(server, train).state is State.RUNNING)
        assert job(server, convert).state is State.DONE
        server.word("go")
        await until(server, lambda: job(server, train).state is State.DONE)
