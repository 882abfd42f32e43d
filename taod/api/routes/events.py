"""The event stream: server-sent events, resumable by the id of the last one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from litestar import Controller, get
from litestar.response import Stream

from taod.api import query
from taod.api.dependencies import Call, TheServices, TheUser
from taod.services import Services
from taod.telemetry.bus import Event
from taod.types.event import EventType

HEARTBEAT_S = 15.0
_CONNECTED = b": taod\n\n"
_HEARTBEAT = b": heartbeat\n\n"


class EventController(Controller):
    """Events of one user."""

    path = "/api/v1/user/{user_id:str}/events"
    tags = ("EVENTS",)

    @get(
        summary="Stream of events",
        opt={"query": ("last_event_id",), "headers": ("Last-Event-ID",)},
        media_type="text/event-stream",
    )
    async def events(self, request: Call, services: TheServices, user: TheUser) -> Stream:
        """Server-sent events of the user's objects, without end; a comment after every 15 s without an event."""
        last_id = request.headers.get("last-event-id") or query.text(request, "last_event_id")
        stream = services.streams.reserve(user.id)

        async def counted() -> AsyncGenerator[bytes, None]:
            async with stream, aclosing(messages(services, user.id, last_id)) as events:
                async for event in events:
                    yield event

        return Stream(
            counted(),
            media_type="text/event-stream; charset=utf-8",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


async def messages(
    services: Services, user_id: str, last_id: str | None, heartbeat_s: float = HEARTBEAT_S
) -> AsyncGenerator[bytes, None]:
    """A comment, then events as they are published, and a comment after each `heartbeat_s` without an event."""
    async with services.bus.subscribe(user_id, last_id) as subscription:
        yield _CONNECTED
        events = aiter(subscription)
        next_event = asyncio.ensure_future(anext(events))
        closing = asyncio.ensure_future(services.closing.wait())
        try:
            while True:
                await asyncio.wait({next_event, closing}, timeout=heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
                if closing.done():
                    return
                if not next_event.done():
                    yield _HEARTBEAT
                    continue
                try:
                    event = next_event.result()
                except StopAsyncIteration:
                    return
                data = event.data
                if event.type is EventType.DEVICES:
                    data = services.devices_view.redacted(data, user_id)
                yield encoded(event, data)
                next_event = asyncio.ensure_future(anext(events))
        finally:
            for task in (next_event, closing):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                    await task


def encoded(event: Event, data: bytes) -> bytes:
    """One event in the format of server-sent events; its body is one line of JSON."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode(), str(event.type).encode(), data)
