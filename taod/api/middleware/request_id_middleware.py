"""The outermost middleware: adds the request id to every response, and logs every 5xx once with it."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from taod.api.responses import FAILED, answer_error
from taod.errors import LimitReached, TaodError
from taod.ids import new_id

log = logging.getLogger("taod.api")

HEADER: Final = b"x-request-id"
_VALID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:~+/=@-]{0,127}")
"""Valid ids of clients: they are logged, so no spaces, quotes or control characters."""
_ID = "request_id"
_FAULT = "fault"


class RequestIdMiddleware:
    """ASGI middleware: adopts the client's X-Request-ID or creates an id, and adds it to the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        # A copy: AuthMiddleware changes the method, but the server must still see a HEAD.
        values: MutableMapping[str, Any] = dict(scope)
        request_id = values[_ID] = _client_id(values["headers"]) or new_id()
        method, status, disconnected = values["method"], 0, False

        async def traced_receive() -> Any:
            nonlocal disconnected
            message = await receive()
            if message["type"] == "http.disconnect" and not status:
                disconnected = True
            return message

        async def traced_send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(values, traced_receive, traced_send)  # type: ignore[arg-type]
        except Exception as error:
            _report(values, method, status or 500, error)
            if status:
                raise  # The response has started: the server closes the connection, which the client notices.
            await answer_error(TaodError(FAILED.format(request_id)), traced_send)
            return
        if status >= 500 and not disconnected:  # An upload of a client that disconnected ends in an unread 500.
            _report(values, method, status, values.get(_FAULT))


def request_id(scope: Any) -> str:
    """The id of the request that `scope` belongs to."""
    found: str = scope.get(_ID, "-")
    return found


def note_fault(scope: Any, error: BaseException) -> None:
    """Record why a request fails, for its log entry."""
    scope[_FAULT] = error


def _client_id(headers: Any) -> str | None:
    for name, value in headers:
        if name == HEADER:
            return value.decode("ascii") if _VALID.fullmatch(value) else None
    return None


def _report(scope: MutableMapping[str, Any], method: str, status: int, error: BaseException | None) -> None:
    """Log id, method, template of the route (the path of a login is secret), status and traceback."""
    route = scope.get("path_template") or "-"
    if status < 500:
        log.error("request %s: %s %s failed after a %d was sent", scope[_ID], method, route, status, exc_info=error)
    elif not isinstance(error, LimitReached):
        log.error("request %s: %s %s failed with %d", scope[_ID], method, route, status, exc_info=error)
