"""Every error as the contract's body: what services refuse, what HTTP itself refuses, and what nobody foresaw."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

from taod.api.error_responses import FAILED, error_bytes
from taod.api.middleware.request_id_middleware import note_fault, request_id
from taod.errors import Conflict, NoSpace, TaodError, Unavailable
from taod.types.state import ImpossibleTransition

Handler = Callable[[Request[Any, Any, Any], Any], Response[bytes]]

PRIMARY = 0xFF
"""The part of SQLite's error codes that tells what went wrong; the rest tells where."""


def _answer(status: int, description: str, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    return Response(
        error_bytes(status, description),
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/json",
    )


def refused(request: Request[Any, Any, Any], error: TaodError) -> Response[bytes]:
    """A service says no, in one sentence."""
    if error.status >= 500:
        note_fault(request.scope, error)
    return _answer(error.status, error.description, error.headers)


def http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """HTTP's own refusals: no such path, no such verb, a body over the limit."""
    method, path = request.method, request.url.path
    headers = error.headers or {}
    if error.status_code == 404:
        return _answer(404, f"there is nothing at {path}; GET /api/v1 lists what there is")
    if error.status_code == 405:
        allowed = allowed_verbs(headers.get("allow", ""))
        return _answer(405, f"{method} is not possible at {path}; it allows {allowed}", {"Allow": allowed})
    if error.status_code == 413:
        return _answer(413, "the body is over limits.body_bytes; send less at once, or raise that in taod.toml")
    if error.status_code >= 500:
        return unforeseen(request, error)
    return _answer(error.status_code, str(error.detail), headers)


def allowed_verbs(verbs: str) -> str:
    """An Allow header in order, with the verbs that the gate answers everywhere."""
    found = {verb.strip() for verb in verbs.split(",") if verb.strip()} | {"OPTIONS"}
    if "GET" in found:
        found.add("HEAD")
    return ", ".join(sorted(found))


def impossible(request: Request[Any, Any, Any], error: ImpossibleTransition) -> Response[bytes]:
    """The job went on between reading and changing it."""
    return refused(request, Conflict(f"{error}; it has changed meanwhile, read it again"))


def os_error(request: Request[Any, Any, Any], error: OSError) -> Response[bytes]:
    """The disk is full, or something unforeseen."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return refused(request, NoSpace("the disk of the root is full; free some space and try again"))
    return unforeseen(request, error)


def sqlite_error(request: Request[Any, Any, Any], error: sqlite3.Error) -> Response[bytes]:
    """The store could not write for want of space or of the lock, or something unforeseen."""
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY
    if code == sqlite3.SQLITE_FULL:
        return refused(request, NoSpace("the disk of the root is full; free some space and try again"))
    if code == sqlite3.SQLITE_BUSY:
        words = "another process holds the database of the root, nothing was changed; send it again when it has let go"
        return refused(request, Unavailable(words, headers={"Retry-After": "5"}))
    return unforeseen(request, error)


def unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A fault of the server: told in its log, not to the client."""
    note_fault(request.scope, error)
    return _answer(500, FAILED.format(request_id(request.scope)))


HANDLERS: dict[int | type[Exception], Any] = {
    TaodError: refused,
    HTTPException: http_error,
    ImpossibleTransition: impossible,
    OSError: os_error,
    sqlite3.Error: sqlite_error,
    Exception: unforeseen,
}
