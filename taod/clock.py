"""The clock: wall time for records, monotonic time for durations. Tests pass their own clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Interface of a clock."""

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Monotonic seconds; only differences are meaningful."""
        ...


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def seconds_of(text: str) -> float:
    """Seconds since the epoch; the inverse of `iso`."""
    return datetime.fromisoformat(text).timestamp()


def iso(seconds: float) -> str:
    """ISO 8601 in UTC with microseconds, so that text order is time order."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
