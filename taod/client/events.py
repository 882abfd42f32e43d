"""`client.events`: the event stream, which reconnects automatically."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from taod.client.errors import ClientError, NoDaemon
from taod.client.transport import Namespace, Patience, Rediscover, decode
from taod.types.dataset import CheckProgress, UploadProgress
from taod.types.device import Device
from taod.types.event import EventType, ResourceChange, StatusUpdate
from taod.types.job import JobUsage, JobView
from taod.types.queue import QueueState
from taod.types.tool import ToolProgress

if TYPE_CHECKING:
    import httpx
    from httpx_sse import ServerSentEvent

EventBody: TypeAlias = (
    JobView
    | StatusUpdate
    | JobUsage
    | list[Device]
    | ResourceChange
    | UploadProgress
    | CheckProgress
    | QueueState
    | ToolProgress
    | dict[str, Any]
)
BODIES: dict[EventType, type[EventBody]] = {
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
    EventType.TOOL: ToolProgress,
    EventType.RESET: dict[str, Any],
}
SILENCE_S = 45.0
"""A stream that is silent for longer is lost: the daemon sends a heartbeat every 15 s."""
FIRST_WAIT_S, MAX_WAIT_S = 0.1, 5.0

OnConnection = Callable[[bool, str], None]
"""Called with (True, "") when the stream is open, (False, reason) when it is lost or could not be opened."""


class AsyncEvents(Namespace):
    """Changes of jobs, data and devices as they happen."""

    async def stream(
        self, *, on_connection: OnConnection | None = None, rediscover: Rediscover | None = None
    ) -> AsyncGenerator[tuple[EventType, EventBody], None]:
        """Endless events, each with its type and body.

        A lost stream is opened again after 0.1 s, doubling to 5 s, and continues after the last event received; the
        daemon sends RESET if it cannot. Raises ClientError if the daemon rejects the request (a wrong token), unless
        `rediscover` finds a daemon at another address or with another token.
        """
        notify = on_connection or (lambda connected, reason: None)
        rediscover = rediscover or self._transport.rediscover
        last_id: str | None = None
        wait_s = FIRST_WAIT_S
        while True:
            try:
                headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
                if last_id is not None:
                    headers["Last-Event-ID"] = last_id
                path = self._transport.user_path("events")
                async with self._transport.stream(
                    "GET", path, headers=headers, patience=Patience(read=SILENCE_S)
                ) as response:
                    notify(True, "")
                    wait_s = FIRST_WAIT_S
                    async for event in _read(response):
                        last_id = event.id or last_id
                        event_type = _event_type(event.event)
                        if event_type is not None:
                            yield event_type, decode(event.data.encode(), BODIES[event_type])
                reason = f"the daemon at {self._transport.url} closed the stream"
            except NoDaemon as error:
                reason = error.description
            except ClientError as error:
                if error.status < 500 and not await self._transport.has_moved(rediscover):
                    raise
                reason = error.description
            notify(False, reason)
            await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))
            wait_s = min(wait_s * 2, MAX_WAIT_S)
            await self._transport.has_moved(rediscover)


async def _read(response: httpx.Response) -> AsyncIterator[ServerSentEvent]:
    from httpx_sse import EventSource, SSEError

    try:
        async for event in EventSource(response).aiter_sse():
            yield event
    except SSEError as error:
        raise ClientError(502, f"{response.url} answers with something other than an event stream: {error}") from error


def _event_type(name: str) -> EventType | None:
    """The type of an event; None for a type that only a newer daemon knows."""
    try:
        return EventType(name)
    except ValueError:
        return None
