"""Maps every exception to a response with the contract's error body."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

from taod.api.middleware.request_id_middleware import note_fault, request_id
from taod.api.request_parsing import BODY_BYTES, SPEC_BYTES, body_over_limit
from taod.api.responses import FAILED, error_bytes
from taod.errors import Conflict, NoSpace, StoreLost, TaodError, Unavailable
from taod.types.state import ImpossibleTransition

Handler = Callable[[Request[Any, Any, Any], Any], Response[bytes]]

PRIMARY = 0xFF
"""Mask of the primary result code in SQLite's extended error codes."""


def _answer(status: int, description: str, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    return Response(
        error_bytes(status, description),
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/json",
    )


def service_error(request: Request[Any, Any, Any], error: TaodError) -> Response[bytes]:
    """An error of a service: its status and description."""
    if error.status >= 500:
        note_fault(request.scope, error)
    return _answer(error.status, error.description, error.headers)


def http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Errors of Litestar: unknown path or method, a body over the limit."""
    method, path = request.method, request.url.path
    headers = error.headers or {}
    if error.status_code == 404:
        return _answer(404, f"there is nothing at {path}; GET /api/v1 lists the paths")
    if error.status_code == 405:
        allowed = allowed_methods(headers.get("allow", ""))
        return _answer(405, f"{method} is not possible at {path}; it allows {allowed}", {"Allow": allowed})
    if error.status_code == 413:
        return _answer(413, body_over_limit(SPEC_BYTES if "/specs/" in path else BODY_BYTES))
    if error.status_code >= 500:
        return fault(request, error)
    return _answer(error.status_code, str(error.detail), headers)


def allowed_methods(methods: str) -> str:
    """A sorted Allow header, including the methods that the middleware answers."""
    found = {method.strip() for method in methods.split(",") if method.strip()} | {"OPTIONS"}
    if "GET" in found:
        found.add("HEAD")
    return ", ".join(sorted(found))


def transition_error(request: Request[Any, Any, Any], error: ImpossibleTransition) -> Response[bytes]:
    """409: the job changed its state between read and write."""
    return service_error(request, Conflict(f"{error}; it has changed meanwhile, read it again"))


def os_error(request: Request[Any, Any, Any], error: OSError) -> Response[bytes]:
    """507 for a full disk, else 500."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return service_error(request, NoSpace("the disk of the root is full; free some space and try again"))
    return fault(request, error)


def sqlite_error(request: Request[Any, Any, Any], error: sqlite3.Error) -> Response[bytes]:
    """507 for a full disk, 503 for a damaged or locked database, else 500."""
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY
    if code == sqlite3.SQLITE_FULL:
        return service_error(request, NoSpace("the disk of the root is full; free some space and try again"))
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        description = (
            f"the database is damaged ({error}); `taod doctor` names its newest copy, `taod restore` restores it"
        )
        return service_error(request, StoreLost(description))
    if code == sqlite3.SQLITE_BUSY:
        description = "another process holds the database of the root, nothing was changed; retry later"
        return service_error(request, Unavailable(description, headers={"Retry-After": "5"}))
    return fault(request, error)


def fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """500: the details are logged, not sent."""
    note_fault(request.scope, error)
    return _answer(500, FAILED.format(request_id(request.scope)))


HANDLERS: dict[int | type[Exception], Any] = {
    TaodError: service_error,
    HTTPException: http_error,
    ImpossibleTransition: transition_error,
    OSError: os_error,
    sqlite3.Error: sqlite_error,
    Exception: fault,
}
