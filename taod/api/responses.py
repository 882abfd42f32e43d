"""Headers of lists and warnings, error bodies, and error responses of the middleware."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec
from litestar import Response
from litestar.types import Send

from taod.errors import TaodError
from taod.services.resources import Page
from taod.types.common import ErrorBody
from taod.types.warning import Warning
from taod.types.warning_text import text

T = TypeVar("T")

TOTAL = "X-Total-Count"
WARNINGS = "X-Taod-Warnings"
_MAX_DESCRIPTION = 8192
_MAX_HEADER = 4096
"""Characters; clients reject much longer headers."""
FAILED: Final = "the server failed to answer; its log says why, under request id {}"


def listed(page: Page[T]) -> Response[list[T]]:
    """A page as a response: its items, and the length of the whole list in a header."""
    return Response(page.items, headers={TOTAL: str(page.total)})


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
