"""The event stream: server-sent events, resumable by the id of the last one."""

from __future__ import annotations

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
    async with services.bus.subscribe(user_id, last_id) as stream:
        yield _CONNECTED
        while (events := await stream.batch(heartbeat_s)) is not None:
            yield b"".join(encoded(event, _seen_by(services, user_id, event)) for event in events) or _HEARTBEAT


def _seen_by(services: Services, user_id: str, event: Event) -> bytes:
    return services.devices_view.redacted(event.data, user_id) if event.type is EventType.DEVICES else event.data


def encoded(event: Event, data: bytes) -> bytes:
    """One event in the format of server-sent events; its body is one line of JSON."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode(), str(event.type).encode(), data)
