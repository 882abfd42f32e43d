"""Coalesces requests to read something: one reading at a time, and always one after the last request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.dom import DOMNode
    from textual.worker import Worker


class Refresher:
    """Requests during a reading cause one more reading after it.

    Readings never overlap, so an older answer cannot replace a newer one, and a stream of requests cannot starve the
    reader. The worker's state shows whether a reading is under way; a flag could stay set, since Textual may cancel a
    worker before its first step.
    """

    def __init__(
        self,
        node: DOMNode,
        read: Callable[[], Awaitable[None]],
        *,
        group: str,
        delay_s: float = 0.0,
        pause_s: float = 0.0,
    ) -> None:
        """`delay_s`: from a request to its reading. `pause_s`: shortest interval between readings."""
        self._node, self._read, self._group = node, read, group
        self._delay_s, self._pause_s = delay_s, pause_s
        self.is_requested = False
        """Whether a reading starts after the one that is under way, if any."""
        self._worker: Worker[Any] | None = None

    @property
    def is_active(self) -> bool:
        """Whether a worker reads, or waits to read."""
        return self._worker is not None and not (self._worker.is_finished or self._worker.is_cancelled)

    def request(self) -> None:
        """Schedule a reading. A change after its start needs another request."""
        self.is_requested = True
        if not self.is_active:
            self._worker = self._node.run_worker(self._run, group=self._group)

    def cancel(self) -> None:
        """Drop the request and the reading that is under way."""
        self.is_requested = False
        if self._worker is not None:
            self._worker.cancel()

    async def _run(self) -> None:
        while self.is_requested:
            await asyncio.sleep(self._delay_s)
            self.is_requested = False
            await self._read()
            if self._pause_s:
                await asyncio.sleep(self._pause_s)
