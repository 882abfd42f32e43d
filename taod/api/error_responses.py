"""Error responses as bytes: the contract's body, and a response from outside of any route."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from litestar.types import Send

from taod.errors import TaodError
from taod.types.common import ErrorBody

FAILED: Final = "the server failed to answer; its log says why, under request id {}"


def error_bytes(status: int, description: str) -> bytes:
    """The body of an error."""
    return msgspec.json.encode(ErrorBody(error_code=status, error_desc=description))


async def answer_error(error: TaodError, send: Send) -> None:
    """Send an error from outside of any route."""
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
