"""Work beside the event loop that reads the store: in threads, each on a snapshot, so that no request delays others.

Whatever may take more than a few milliseconds belongs here: jobs are resolved, long lists read and encoded. Writes
stay on the event loop, which checks before them that what they depend on is still the same.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from store import Store
from store.database import LongRead
from taod.services.lanes import Lanes

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
"""Lanes that are served at the same time."""
SHORT_BYTES = 64 * 1024
"""What `read` reads on the event loop: about 2 ms. A thread costs a request about as much."""


class Snapshots:
    """Runs one piece of work at a time for each lane (a user, the starts of jobs): others do not wait for a user's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="snapshot")
        self._lanes = Lanes()

    async def run(self, lane: str, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """What `work` returns or raises. It may read the store, but write nothing there."""
        if self._store.in_memory:
            return work(*arguments, **named)
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        async with self._lanes.turn(lane):
            return await loop.run_in_executor(
                self._threads, lambda: context.run(self._read, lambda: work(*arguments, **named))
            )

    async def read(self, lane: str, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """As `run`, for work whose time depends only on how much it reads of the store: little is read at once."""
        try:
            with self._store.short(SHORT_BYTES):
                return work(*arguments, **named)
        except LongRead:
            return await self.run(lane, work, *arguments, **named)

    def close(self) -> None:
        """Start no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _read(self, work: Callable[[], T]) -> T:
        with self._store.snapshot():
            return work()
