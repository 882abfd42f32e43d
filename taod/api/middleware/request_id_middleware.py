"""The outermost layer: every answer tells its request's id, and every 5xx leaves one entry in the log, with it."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from taod.api.error_responses import FAILED, answer_error
from taod.errors import TaodError
from taod.ids import new_id

log = logging.getLogger("taod.api")

HEADER: Final = b"x-request-id"
_SANE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:~+/=@-]{0,127}")
"""What an id of a client may look like: it goes into the log, so no spaces, quotes or control characters."""
_ID = "request_id"
_FAULT = "fault"


class Trace:
    """An ASGI application around another one: takes the client's X-Request-ID over, or makes an id, and tells it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        # A scope of its own: the gate turns verbs, and the server below still has to know a HEAD for what it is.
        values: MutableMapping[str, Any] = dict(scope)
        request_id = values[_ID] = _given(values["headers"]) or new_id()
        verb, status, left = values["method"], 0, False

        async def heard() -> Any:
            nonlocal left
            message = await receive()
            if message["type"] == "http.disconnect" and not status:
                left = True
            return message

        async def told(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(values, heard, told)  # type: ignore[arg-type]
        except Exception as error:
            _report(values, verb, status or 500, error)
            if status:
                raise  # the answer has begun: the server cuts the connection, so that the client sees it is not whole
            await answer_error(TaodError(FAILED.format(request_id)), told)
            return
        if status >= 500 and not left:  # an upload whose client went away ends in a 500 that nobody reads
            _report(values, verb, status, values.get(_FAULT))


def request_id(scope: Any) -> str:
    """The id of the request that `scope` belongs to."""
    found: str = scope.get(_ID, "-")
    return found


def note_fault(scope: Any, error: BaseException) -> None:
    """Remember why a request fails, for its entry in the log."""
    scope[_FAULT] = error


def _given(headers: Any) -> str | None:
    for name, value in headers:
        if name == HEADER:
            return value.decode("ascii") if _SANE.fullmatch(value) else None
    return None


def _report(scope: MutableMapping[str, Any], verb: str, status: int, error: BaseException | None) -> None:
    """One entry: id, verb, the route's template (never the path: a login's is a secret), status, traceback."""
    route = scope.get("path_template") or "-"
    if status < 500:
        log.error("request %s: %s %s broke off after a %d began", scope[_ID], verb, route, status, exc_info=error)
    else:
        log.error("request %s: %s %s failed with %d", scope[_ID], verb, route, status, exc_info=error)
