"""Successful responses with headers of their own: the length of a list, and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from litestar import Response

from taod.services.page import Page
from taod.types.warning import Warning
from taod.types.warning_text import text

T = TypeVar("T")

TOTAL = "X-Total-Count"
WARNINGS = "X-Taod-Warnings"
_MAX_HEADER = 4096
"""Characters; clients reject much longer headers."""


def listed(page: Page[T]) -> Response[list[T]]:
    """A page as a response: its items, and the length of the whole list in a header."""
    return Response(page.items, headers={TOTAL: str(page.total)})


def warned(warnings: Sequence[Warning]) -> dict[str, str]:
    """The header, if there are warnings."""
    return {WARNINGS: in_header([text(warning) for warning in warnings])} if warnings else {}


def in_header(warnings: Sequence[str]) -> str:
    """Warnings joined by `; ` as printable ASCII, other characters escaped, cut to the maximal length."""
    joined = "; ".join(warnings)[:_MAX_HEADER]
    safe = "".join(each if each.isprintable() else repr(each)[1:-1] for each in joined)
    safe = safe.encode("ascii", "backslashreplace").decode()
    return safe if len(safe) <= _MAX_HEADER else safe[: _MAX_HEADER - 3] + "..."
