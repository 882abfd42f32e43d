"""Warnings in a header of a successful response."""

from __future__ import annotations

from collections.abc import Sequence

from taod.types.warning import Warning
from taod.types.warning_text import text

WARNINGS = "X-Taod-Warnings"
_MAX_HEADER = 4096
"""Characters; clients reject much longer headers."""


def warned(warnings: Sequence[Warning]) -> dict[str, str]:
    """The header, if there are warnings."""
    return {WARNINGS: in_header([text(warning) for warning in warnings])} if warnings else {}


def in_header(warnings: Sequence[str]) -> str:
    """Warnings joined by `; ` as printable ASCII, other characters escaped, cut to the maximal length."""
    joined = "; ".join(warnings)[:_MAX_HEADER]
    safe = "".join(each if each.isprintable() else repr(each)[1:-1] for each in joined)
    safe = safe.encode("ascii", "backslashreplace").decode()
    return safe if len(safe) <= _MAX_HEADER else safe[: _MAX_HEADER - 3] + "..."
