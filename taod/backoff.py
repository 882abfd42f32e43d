"""Delays before an operation is attempted again that fails for a while: a full disk, a locked database, an engine that
restarts."""

from __future__ import annotations

import asyncio

FIRST_S = 0.5
LONGEST_S = 30.0


class Backoff:
    """Each delay is twice the previous one, up to a limit. For loops that wait and for timers of the event loop."""

    def __init__(self, first_s: float | None = None, longest_s: float = LONGEST_S) -> None:
        self._first_s = FIRST_S if first_s is None else first_s
        self._longest_s = longest_s
        self.failures = 0
        """Failed attempts since the last success."""

    def next_s(self) -> float:
        """Count a failure; seconds until the next attempt."""
        self.failures += 1
        return min(self._first_s * 2.0 ** (min(self.failures, 32) - 1), self._longest_s)

    async def wait(self) -> None:
        """Count a failure and wait until the next attempt."""
        await asyncio.sleep(self.next_s())

    def reset(self) -> None:
        """An attempt succeeded."""
        self.failures = 0
