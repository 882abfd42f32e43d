"""Turns of work: of each lane (a user, the starts of jobs) only so many pieces run at once; others do not wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Lanes:
    """Lets `at_once` pieces of work of each lane run, in their order."""

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._asked: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, lane: str) -> AsyncIterator[None]:
        """Wait for a turn, which lasts as long as the block."""
        self._asked[lane] += 1
        try:
            async with self._turns.setdefault(lane, asyncio.Semaphore(self._at_once)):
                yield
        finally:
            self._asked[lane] -= 1
            if not self._asked[lane]:
                del self._asked[lane], self._turns[lane]
