"""Limits the open streams of each user: event streams and followed logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from taod.errors import LimitReached


class Streams:
    """Counts streams, and rejects those beyond `server.streams_per_user`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()

    def reserve(self, user_id: str) -> AbstractAsyncContextManager[None]:
        """Count a stream of this user while the block runs. Raises LimitReached before it if too many are open."""
        if self._open[user_id] >= self._limit:
            raise LimitReached(
                f"{self._limit} streams of this user are open; close some, or raise server.streams_per_user",
                headers={"Retry-After": "5"},
            )
        return self._counted(user_id)

    @asynccontextmanager
    async def _counted(self, user_id: str) -> AsyncIterator[None]:
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
