"""The event stream: server-sent events, resumable by the id of the last one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from litestar import Controller, get
from litestar.response import Stream

from taod.api import query
from taod.api.dependencies import Call, TheServices, TheUser
from taod.services import Services
from taod.telemetry.bus import Event
from taod.types.event import EventType

HEARTBEAT_S = 15.0
_HELLO = b": taod\n\n"
_BEAT = b": still here\n\n"


class EventController(Controller):
    """Events of one user."""

    path = "/api/v1/user/{user_id:str}/events"
    tags = ("EVENTS",)

    @get(summary="Stream of events", opt={"query": ("last_event_id",)}, media_type="text/event-stream")
    async def events(self, request: Call, services: TheServices, user: TheUser) -> Stream:
        """Server-sent events of the user's objects, for ever; a comment every 15 s where nothing happens."""
        last = request.headers.get("last-event-id") or query.text(request, "last_event_id")
        return Stream(
            flow(services, user.id, last),
            media_type="text/event-stream; charset=utf-8",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


async def flow(
    services: Services, user_id: str, last: str | None, heartbeat_s: float = HEARTBEAT_S
) -> AsyncIterator[bytes]:
    """The stream as bytes: a comment first, events as they come, a comment whenever nothing came for a while."""
    async with services.bus.subscribe(user_id, last) as stream:
        yield _HELLO
        source = aiter(stream)
        coming = asyncio.ensure_future(anext(source))
        stopping = asyncio.ensure_future(services.closing.wait())
        try:
            while True:
                await asyncio.wait({coming, stopping}, timeout=heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    return
                if not coming.done():
                    yield _BEAT
                    continue
                try:
                    event = coming.result()
                except StopAsyncIteration:
                    return
                data = event.data
                if event.type is EventType.DEVICES:
                    data = services.devices_view.veiled(data, user_id)
                yield encoded(event, data)
                coming = asyncio.ensure_future(anext(source))
        finally:
            for task in (coming, stopping):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                    await task


def encoded(event: Event, data: bytes) -> bytes:
    """One event in the stream's format; its body is one line of JSON."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode(), str(event.type).encode(), data)
