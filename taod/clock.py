"""The one clock: wall time for records, monotonic time for durations. Tests pass a clock of their own."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the daemon asks of time."""

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""
        ...


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def seconds_of(text: str) -> float:
    """Seconds since the epoch of what `iso` wrote."""
    return datetime.fromisoformat(text).timestamp()


def iso(seconds: float) -> str:
    """ISO 8601 in UTC with microseconds, so that text order is time order."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
