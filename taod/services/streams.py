"""How many endless answers each user has open: event streams and followed logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from taod.errors import Unavailable


class Streams:
    """Counts streams, and rejects those beyond `server.streams_per_user`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def of(self, user_id: str) -> AbstractAsyncContextManager[None]:
        """A stream of this user, for the time of the block. Raises Unavailable, before it, if there are too many."""
        if self._open[user_id] >= self._most:
            raise Unavailable(
                f"{self._most} streams of this user are open; close some, or raise server.streams_per_user",
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
