"""The event stream, which comes back by itself when the daemon went away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from taod.client.errors import ClientError, NoDaemon
from taod.client.transport import Patience, Rediscover, Transport, decode
from taod.types.dataset import CheckProgress, UploadProgress
from taod.types.device import Device
from taod.types.event import EventType, ResourceChange, StatusUpdate
from taod.types.job import JobUsage, JobView
from taod.types.queue import QueueState

if TYPE_CHECKING:
    import httpx

BODIES: dict[EventType, Any] = {
    EventType.JOB: JobView,
    EventType.STATUS: StatusUpdate,
    EventType.USAGE: JobUsage,
    EventType.DEVICES: list[Device],
    EventType.DATASET: ResourceChange,
    EventType.UPLOAD: UploadProgress,
    EventType.CHECK: CheckProgress,
    EventType.MODEL: ResourceChange,
    EventType.JOB_DELETED: ResourceChange,
    EventType.QUEUE: QueueState,
    EventType.RESET: dict[str, Any],
}
SILENCE_S = 45.0
"""A stream silent for longer is dead: the daemon sends a heartbeat every 15 s."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0

OnConnection = Callable[[bool, str], None]
"""Told (True, "") when the stream is open, (False, why) when it is lost or could not be opened."""


class EventCalls(Transport):
    """What happens, as it happens."""

    async def events(
        self, *, on_connection: OnConnection | None = None, rediscover: Rediscover | None = None
    ) -> AsyncGenerator[tuple[EventType, Any], None]:
        """Events for ever, each with its body as the Struct that EventType tells of it.

        A lost stream is opened again, first after 0.1 s and then more and more slowly (5 s at most), from the last
        event seen; the daemon sends RESET where it cannot go on from there. Raises ClientError when the daemon
        refuses (a wrong token), unless `rediscover` finds one that differs.
        """
        tell = on_connection or (lambda up, why: None)
        rediscover = rediscover or self.rediscover
        last_id: str | None = None
        wait_s = FIRST_WAIT_S
        while True:
            try:
                headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
                if last_id is not None:
                    headers["Last-Event-ID"] = last_id
                patience = Patience(read=SILENCE_S)
                async with self.stream("GET", self.user_path("events"), headers=headers, patience=patience) as response:
                    tell(True, "")
                    wait_s = FIRST_WAIT_S
                    async for event in _read(response):
                        last_id = event.id or last_id
                        kind = _kind(event.event)
                        if kind is not None:
                            yield kind, decode(event.data.encode(), BODIES[kind])
                why = f"the daemon at {self.url} closed the stream"
            except NoDaemon as error:
                why = error.description
            except ClientError as error:
                if error.status < 500 and not await self._moved(rediscover):
                    raise
                why = error.description
            tell(False, why)
            await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
            await self._moved(rediscover)

    async def _moved(self, rediscover: Rediscover | None) -> bool:
        """Look for the daemon again; True when it is elsewhere now, or lets us in by another token."""
        if rediscover is None:
            return False
        try:
            info = await asyncio.to_thread(rediscover)
        except NoDaemon:
            return False
        found = (info.url.rstrip("/"), info.user_id, info.token)
        if found == (self.url, self.user_id, self.token):
            return False
        self.point_at(*found)
        return True


async def _read(response: httpx.Response) -> AsyncIterator[Any]:
    from httpx_sse import EventSource, SSEError

    try:
        async for event in EventSource(response).aiter_sse():
            yield event
    except SSEError as error:
        raise ClientError(502, f"the daemon answers the event stream with something else: {error}") from error


def _kind(name: str) -> EventType | None:
    """The type of an event; None for one that a newer daemon may send."""
    try:
        return EventType(name)
    except ValueError:
        return None
