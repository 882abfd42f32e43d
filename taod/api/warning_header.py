"""What was noticed, in a header of an answer that succeeds."""

from __future__ import annotations

from collections.abc import Sequence

from taod.types.warning import Warning
from taod.types.warning_text import text

WARNINGS = "X-Taod-Warnings"
_MOST_OF_A_HEADER = 4096
"""Clients refuse headers that are much longer."""


def warned(warnings: Sequence[Warning]) -> dict[str, str]:
    """The header, where there is something to warn of."""
    return {WARNINGS: in_header([text(warning) for warning in warnings])} if warnings else {}


def in_header(warnings: Sequence[str]) -> str:
    """Warnings joined by `; `, in what a header can hold: printable ASCII, everything else escaped, not too long."""
    told = "; ".join(warnings)[:_MOST_OF_A_HEADER]
    safe = "".join(each if each.isprintable() else repr(each)[1:-1] for each in told)
    safe = safe.encode("ascii", "backslashreplace").decode()
    return safe if len(safe) <= _MOST_OF_A_HEADER else safe[: _MOST_OF_A_HEADER - 3] + "..."
