"""The event bus: recipients, and what late and slow clients get."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import msgspec
import pytest

from taod.telemetry.bus import MOST_IN_BATCH, WOKEN_AT_ONCE, Event, EventBus, Stream
from taod.types.event import EventType, ResourceChange
from tests.patience import PATIENCE_S


def publish(bus: EventBus, number: int, user_id: str | None = "ada") -> None:
    bus.publish(EventType.MODEL, ResourceChange(str(number), "updated"), user_id=user_id)


async def take(stream: Stream, how_many: int) -> list[Event]:
    return [await asyncio.wait_for(anext(stream), PATIENCE_S) for _ in range(how_many)]


def ids_of(events: list[Event]) -> list[str]:
    return [msgspec.json.decode(event.data).get("id", event.type) for event in events]


async def test_a_client_gets_its_own_and_common_events_in_order() -> None:
    bus = EventBus()
    async with bus.subscribe("ada", None) as stream:
        publish(bus, 1), publish(bus, 2, "grace"), publish(bus, 3, None)
        bus.publish(EventType.DEVICES, [{"id": float("nan")}], user_id=None)
        *two, third = await take(stream, 3)
        assert ids_of(two) == ["1", "3"]
        assert (third.type, third.data) == (EventType.DEVICES, b'[{"id":null}]')


async def test_a_client_without_a_user_gets_all_events() -> None:
    bus = EventBus()
    async with bus.subscribe(None, None) as stream:
        publish(bus, 1), publish(bus, 2, "grace")
        assert ids_of(await take(stream, 2)) == ["1", "2"]


async def test_publishing_wakes_a_waiting_client() -> None:
    bus = EventBus()
    async with bus.subscribe("ada", None) as stream:
        waiting = asyncio.create_task(take(stream, 1))
        await asyncio.sleep(0)
        assert not waiting.done()
        publish(bus, 1)
        assert ids_of(await waiting) == ["1"]


async def test_a_reconnecting_client_gets_the_events_it_missed() -> None:
    bus = EventBus()
    async with bus.subscribe("ada", None) as stream:
        publish(bus, 1)
        (seen,) = await take(stream, 1)
    publish(bus, 2), publish(bus, 3, "grace"), publish(bus, 4)
    async with bus.subscribe("ada", seen.id) as stream:
        assert ids_of(await take(stream, 2)) == ["2", "4"]


@pytest.mark.parametrize("last", ["", "7", "other-1", "{token}-99", "{token}-x", "{token}--1", "{token}-" + "9" * 5000])
async def test_an_unknown_id_gets_one_reset(last: str) -> None:
    bus = EventBus()
    publish(bus, 1)
    async with bus.subscribe("ada", last.replace("{token}", bus._token)) as stream:
        (reset,) = await take(stream, 1)
        assert (reset.type, reset.data) == (EventType.RESET, b"{}")
        publish(bus, 2)
        assert ids_of(await take(stream, 1)) == ["2"]
    async with bus.subscribe("ada", reset.id) as stream:
        assert ids_of(await take(stream, 1)) == ["2"]


async def test_a_slow_client_gets_one_reset_and_continues() -> None:
    bus = EventBus(capacity=3)
    async with bus.subscribe("ada", None) as stream:
        for number in range(10):
            publish(bus, number)
        assert [event.type for event in await take(stream, 1)] == [EventType.RESET]
        for number in range(10, 13):
            publish(bus, number)
        assert ids_of(await take(stream, 3)) == ["10", "11", "12"]
    assert len(bus._kept) == 3


async def test_events_of_other_users_do_not_fill_a_queue() -> None:
    bus = EventBus(capacity=3)
    async with bus.subscribe("ada", None) as stream:
        for number in range(50):
            publish(bus, number, "grace")
        publish(bus, 99)
        assert ids_of(await take(stream, 1)) == ["99"]


async def test_ids_grow_and_differ_between_processes() -> None:
    first, second = EventBus(), EventBus()
    async with first.subscribe(None, None) as stream:
        publish(first, 1), publish(first, 2)
        ids = [event.id for event in await take(stream, 2)]
    assert [int(one.rpartition("-")[2]) for one in ids] == [1, 2]
    publish(second, 1)
    async with second.subscribe(None, ids[0]) as stream:
        assert [event.type for event in await take(stream, 1)] == [EventType.RESET]


async def test_the_bus_reports_whether_and_how_many_clients_listen() -> None:
    bus = EventBus()
    seen = [(bus.listeners, bus.listened.is_set())]
    async with bus.subscribe(None, None, looks=False):
        seen.append((bus.listeners, bus.listened.is_set()))
        async with bus.subscribe("ada", None):
            async with bus.subscribe("grace", None):
                seen.append((bus.listeners, bus.listened.is_set()))
            seen.append((bus.listeners, bus.listened.is_set()))
        seen.append((bus.listeners, bus.listened.is_set()))
    assert seen == [(0, False), (0, False), (2, True), (1, True), (0, False)]


async def test_an_event_wakes_many_streams_in_slices() -> None:
    """What else the loop has to do runs between them."""
    bus, woken = EventBus(), 0

    async def listen(stream: Stream) -> None:
        nonlocal woken
        await anext(stream)
        woken += 1

    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(bus.subscribe("ada")) for _ in range(5 * WOKEN_AT_ONCE)]
        listening = [asyncio.create_task(listen(stream)) for stream in streams]
        await asyncio.sleep(0)
        publish(bus, 1)
        steps = []
        while woken < len(streams):
            before = woken
            await asyncio.sleep(0)
            steps.append(woken - before)
        assert max(steps) <= WOKEN_AT_ONCE
        await asyncio.gather(*listening)


async def test_a_client_takes_all_events_at_once_and_nothing_for_a_while() -> None:
    bus = EventBus()
    async with bus.subscribe("ada") as stream:
        assert await stream.batch(0.001) == []
        publish(bus, 1), publish(bus, 2, "grace"), publish(bus, 3)
        assert ids_of(await stream.batch(PATIENCE_S) or []) == ["1", "3"]
        for number in range(2 * MOST_IN_BATCH):
            publish(bus, number)
        assert len(await stream.batch(PATIENCE_S) or []) == MOST_IN_BATCH


async def test_closing_the_bus_ends_every_stream() -> None:
    bus = EventBus()
    async with bus.subscribe("ada", None) as stream:

        async def listen() -> list[Event]:
            return [event async for event in stream]

        waiting = asyncio.create_task(listen())
        await asyncio.sleep(0)
        bus.close()
        assert await asyncio.wait_for(waiting, PATIENCE_S) == []
        assert await stream.batch(PATIENCE_S) is None


async def test_a_closed_bus_still_serves_the_daemon() -> None:
    bus = EventBus()
    async with bus.subscribe("ada", looks=False) as stream:
        bus.close()
        publish(bus, 1)
        assert ids_of(await take(stream, 1)) == ["1"]
