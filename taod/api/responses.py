"""Headers of lists and warnings, error bodies, and error responses of the middleware."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

import msgspec
from litestar import MediaType, Response
from litestar.types import Send

from taod.errors import TaodError
from taod.services import Services
from taod.services.resources import Page
from taod.types.common import ErrorBody
from taod.types.warning import Warning
from taod.types.warning_text import text

P = ParamSpec("P")
T = TypeVar("T")
Answer: TypeAlias = Response[Any]
"""A response of JSON that is encoded already."""

TOTAL = "X-Total-Count"
WARNINGS = "X-Taod-Warnings"
_MAX_DESCRIPTION = 8192
_ENCODED_AT_ONCE = 200
_MAX_HEADER = 4096
"""Characters; clients reject much longer headers."""
FAILED: Final = "the server failed to answer; its log says why, under request id {}"


async def read(services: Services, user_id: str, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Answer:
    """What `work` returns as JSON, read and encoded beside the event loop; of a page its items, and in a header the
    length of the whole list."""
    return _json(*await services.snapshots.run(user_id, _encoded(work, *arguments, **named)))


async def read_stored(
    services: Services, user_id: str, work: Callable[P, T], *arguments: P.args, **named: P.kwargs
) -> Answer:
    """As `read`, for what only reads the store: on the event loop as long as that is little."""
    return _json(*await services.snapshots.read(user_id, _encoded(work, *arguments, **named)))


def _json(content: bytes, headers: Mapping[str, str]) -> Answer:
    return Response(content, media_type=MediaType.JSON, headers=headers)


def _encoded(
    work: Callable[P, T], *arguments: P.args, **named: P.kwargs
) -> Callable[[], tuple[bytes, Mapping[str, str]]]:
    def encoded() -> tuple[bytes, Mapping[str, str]]:
        found = work(*arguments, **named)
        if isinstance(found, Page):
            # In pieces, between which other threads run: an encoder holds the interpreter's lock.
            starts = range(0, len(found.items), _ENCODED_AT_ONCE)
            pieces = (msgspec.json.encode(found.items[at : at + _ENCODED_AT_ONCE])[1:-1] for at in starts)
            return b"[" + b",".join(pieces) + b"]", {TOTAL: str(found.total)}
        return msgspec.json.encode(found), {}

    return encoded


def warned(warnings: Sequence[Warning]) -> dict[str, str]:
    """The header with warnings; empty if there are none."""
    return {WARNINGS: in_header([text(warning) for warning in warnings])} if warnings else {}


def in_header(warnings: Sequence[str]) -> str:
    """Warnings joined by `; ` as printable ASCII, other characters escaped, cut to the maximal length."""
    joined = "; ".join(warnings)[:_MAX_HEADER]
    safe = "".join(each if each.isprintable() else repr(each)[1:-1] for each in joined)
    safe = safe.encode("ascii", "backslashreplace").decode()
    return safe if len(safe) <= _MAX_HEADER else safe[: _MAX_HEADER - 3] + "..."


def error_bytes(status: int, description: str) -> bytes:
    """The body of an error; a description over 8,192 characters is cut."""
    if len(description) > _MAX_DESCRIPTION:
        description = description[: _MAX_DESCRIPTION - 1] + "…"
    return msgspec.json.encode(ErrorBody(error_code=status, error_desc=description))


async def answer_error(error: TaodError, send: Send) -> None:
    """Send an error from a middleware."""
    body = error_bytes(error.status, error.description)
    headers: Iterable[tuple[str, str]] = (
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        *error.headers.items(),
    )
    await send(
        {
            "type": "http.response.start",
            "status": error.status,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})
