"""The event bus of the process, from publishers to listeners. Knows nothing of HTTP."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import msgspec

from taod.types.event import EventType

TOKEN_BYTES = 4
WOKEN_AT_ONCE = 64
"""Streams that one turn of the event loop wakes; each costs 30 µs."""
MOST_IN_BATCH = 256
MOST_DIGITS = 19
"""Of an event's number; Python reads no number of more than 4,300."""


class Event(msgspec.Struct, frozen=True):
    """One event as sent to clients; `data` is its body as JSON, encoded once for all clients."""

    id: str
    type: EventType
    data: bytes


class _Kept(msgspec.Struct, frozen=True):
    event: Event
    user_id: str | None


class EventBus:
    """Keeps the last `capacity` events; each client reads them at its own pace, from the last id it received.

    A client that falls further behind, or sends an unknown id (of an earlier daemon, for example), gets one RESET event
    and continues from now. Ids are `<token of this process>-<number>` with consecutive numbers. For one event loop's
    thread.
    """

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._token = secrets.token_hex(TOKEN_BYTES)
        self._kept: dict[int, _Kept] = {}
        self._last = 0
        self._streams: set[Stream] = set()
        self._to_wake: dict[Stream, None] = {}
        self.listeners = 0
        """Number of clients that listen now."""
        self.listened = asyncio.Event()
        """Set while a client listens."""
        self._closed = False

    def publish(
        self, type: EventType, body: msgspec.Struct | list[Any] | dict[str, Any], *, user_id: str | None
    ) -> None:
        """Publish an event to the clients of one user, or of all users if `user_id` is None."""
        self._last += 1
        event = Event(self._id(self._last), type, msgspec.json.encode(body))
        self._kept[self._last] = _Kept(event, user_id)
        self._kept.pop(self._last - self._capacity, None)
        for stream in self._streams:
            stream._published(self._last, user_id)

    @asynccontextmanager
    async def subscribe(
        self, user_id: str | None, last_event_id: str | None = None, *, looks: bool = True
    ) -> AsyncIterator[Stream]:
        """A stream of this user's events (None: all users') after `last_event_id`; None: from now on.

        `looks` False: a stream inside the daemon, which does not count as a listener.
        """
        stream = Stream(self, user_id, self._position(last_event_id), looks=looks)
        self._streams.add(stream)
        self._count_listeners(+looks)
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            self._to_wake.pop(stream, None)
            self._count_listeners(-looks)

    def close(self) -> None:
        """End the streams of all clients; those inside the daemon continue."""
        self._closed = True
        for stream in self._streams:
            stream._wake.set()

    def _id(self, number: int) -> str:
        return f"{self._token}-{number}"

    def _position(self, last_event_id: str | None) -> int | None:
        """The number of the last event that a client received; None for an id that this bus has not given."""
        if last_event_id is None:
            return self._last
        token, _, number = last_event_id.rpartition("-")
        if token != self._token or not number.isdecimal() or len(number) > MOST_DIGITS or int(number) > self._last:
            return None
        return int(number)

    def _wake(self, stream: Stream) -> None:
        """Wake a stream in one of the next turns of the loop."""
        if not self._to_wake:
            asyncio.get_running_loop().call_soon(self._wake_some)
        self._to_wake[stream] = None

    def _wake_some(self) -> None:
        for stream in list(islice(self._to_wake, WOKEN_AT_ONCE)):
            del self._to_wake[stream]
            stream._wake.set()
        if self._to_wake:
            asyncio.get_running_loop().call_soon(self._wake_some)

    def _count_listeners(self, more: int) -> None:
        self.listeners += more
        if self.listeners:
            self.listened.set()
        else:
            self.listened.clear()


class Stream:
    """Iterates over one client's events with `async for`, until the bus is closed."""

    def __init__(self, bus: EventBus, user_id: str | None, position: int | None, *, looks: bool = True) -> None:
        self.user_id = user_id
        self.looks = looks
        self._bus = bus
        self._position = position
        self._wake = asyncio.Event()
        if position is None or position < bus._last:
            self._wake.set()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Event:
        while True:
            if self._over:
                raise StopAsyncIteration
            if (event := self._next()) is not None:
                return event
            self._wake.clear()
            await self._wake.wait()

    @property
    def _over(self) -> bool:
        return self._bus._closed and self.looks

    async def batch(self, patience_s: float) -> list[Event] | None:
        """The events since the last one taken, `MOST_IN_BATCH` at most; an empty list if `patience_s` passes without
        one; None once the bus is closed.
        """
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None
        over = False

        def give_up() -> None:
            nonlocal over
            over = True
            self._wake.set()

        try:
            while True:
                if self._over:
                    return None
                events = [*islice(iter(self._next, None), MOST_IN_BATCH)]
                if events or over:
                    return events
                self._wake.clear()
                timer = timer or loop.call_later(patience_s, give_up)
                await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def _next(self) -> Event | None:
        bus = self._bus
        oldest = max(1, bus._last - bus._capacity + 1)
        if self._position is None or self._position < oldest - 1:
            self._position = bus._last
            return Event(bus._id(bus._last), EventType.RESET, b"{}")
        while self._position < bus._last:
            self._position += 1
            kept = bus._kept[self._position]
            if self._hears(kept.user_id):
                return kept.event
        return None

    def _hears(self, user_id: str | None) -> bool:
        return user_id is None or self.user_id is None or user_id == self.user_id

    def _published(self, number: int, user_id: str | None) -> None:
        """Handle a new event of the bus: wake up, or skip another user's event at once so as not to fall behind."""
        if self._hears(user_id):
            if not self._wake.is_set():
                self._bus._wake(self)
        elif self._position == number - 1:
            self._position = number
