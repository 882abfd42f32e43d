"""The event stream: typed bodies, coming back, and not coming back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from taod.client import AsyncClient, ClientError
from taod.types.common import DaemonInfo
from taod.types.event import EventType, ResourceChange, StatusUpdate
from taod.types.job import JobView
from tests.patience import PATIENCE_S


async def test_every_event_has_the_body_of_its_type(client: AsyncClient, server: Any, contract: Any) -> None:
    world = server.world
    job = world.add_job()

    def connected(up: bool, why: str) -> None:
        world.send(b"id: w-0\nevent: from-the-future\ndata: 1\n\n")
        world.publish(EventType.JOB, job)
        world.publish(EventType.STATUS, StatusUpdate(job.id, "RUNNING", epoch=2, kpi={"loss": 0.5, "lr": None}))
        world.publish(EventType.DEVICES, [contract.gpu()])
        world.publish(EventType.JOB_DELETED, ResourceChange(job.id, "deleted"))
        world.publish(EventType.RESET, {})

    seen: list[tuple[EventType, Any]] = []
    async with asyncio.timeout(PATIENCE_S), aclosing(client.events.stream(on_connection=connected)) as events:
        async for event in events:
            seen.append(event)
            if event[0] is EventType.RESET:
                break
    assert [kind for kind, _ in seen] == ["job", "status", "devices", "job_deleted", "reset"]
    assert isinstance(seen[0][1], JobView) and seen[1][1].kpi == {"loss": 0.5, "lr": None}
    assert seen[2][1][0].name == "NVIDIA H100 80GB HBM3" and seen[3][1].id == job.id


async def test_a_broken_stream_is_opened_again_from_the_last_event(client: AsyncClient, server: Any) -> None:
    world = server.world
    job = world.add_job()
    reported: list[bool] = []

    def connection(up: bool, why: str) -> None:
        reported.append(up)
        if up:
            world.publish(EventType.JOB, job)

    async with asyncio.timeout(PATIENCE_S), aclosing(client.events.stream(on_connection=connection)) as events:
        await anext(events)
        world.cut()
        await anext(events)
    assert reported == [True, False, True]
    assert world.resumed_from == [None, "w-1"]


async def test_a_daemon_that_restarts_is_waited_for(client: AsyncClient, server: Any) -> None:
    world, down = server.world, asyncio.Event()
    job = world.add_job()

    def connection(up: bool, why: str) -> None:
        # A client may come back before the closing server has closed its socket; the event is not for that one.
        if up and not world.closing:
            world.publish(EventType.JOB, job)
        elif "taod serve" in why:
            down.set()

    async with asyncio.timeout(PATIENCE_S), aclosing(client.events.stream(on_connection=connection)) as events:
        await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await server.stop()
        await down.wait()
        await server.start()
        assert (await waiting)[1].id == job.id


async def test_a_daemon_on_another_port_with_another_token_is_found_again(
    client: AsyncClient, server: Any, contract: Any
) -> None:
    second = contract.ContractServer()
    await second.start()
    second.world.token = "another"
    job = second.world.add_job()

    def rediscover() -> DaemonInfo:
        return DaemonInfo(second.url, 1, 0.0, second.world.user, second.world.token)

    def connection(up: bool, why: str) -> None:
        if up:
            server.world.cut()
            second.world.publish(EventType.JOB, job)

    try:
        async with asyncio.timeout(PATIENCE_S):
            async with aclosing(client.events.stream(on_connection=connection, rediscover=rediscover)) as events:
                assert (await anext(events))[1].id == job.id
        assert (client.url, client.token) == (second.url, "another")
    finally:
        await second.stop()


async def test_a_rejected_stream_ends_instead_of_trying_for_ever(server: Any) -> None:
    async with AsyncClient(server.url, server.world.user, "wrong") as intruder, asyncio.timeout(PATIENCE_S):
        with pytest.raises(ClientError) as caught:
            await anext(intruder.events.stream())
    assert caught.value.status == 401
