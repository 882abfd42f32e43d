"""The request to end one run: its reasons, and what it interrupts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from taod.scheduler.supervision.exit_classification import AbortReason
from taod.types.reason import CANCELLED_BY_USER

T = TypeVar("T")


class StopRequest:
    """Set once; the reasons may still change."""

    def __init__(self) -> None:
        self.cancelled = CANCELLED_BY_USER
        """The reason of the job if it was cancelled."""
        self.abort: AbortReason | None = None
        """The limit that it broke or the device that it lost, where that is why."""
        self._event = asyncio.Event()

    def end(self) -> None:
        """Ask it to end."""
        self._event.set()

    async def wait(self) -> None:
        """Until it was asked to end."""
        await self._event.wait()

    async def unless(self, work: Awaitable[T]) -> T | None:
        """What `work` comes to; None where it was cancelled because the end was asked for before it was done.

        Raises what `work` raises.
        """
        working = asyncio.ensure_future(work)
        asking = asyncio.create_task(self.wait())
        try:
            await asyncio.wait({working, asking}, return_when=asyncio.FIRST_COMPLETED)
            working.cancel()  # Nothing where it is done.
            await asyncio.wait({working})
            return None if working.cancelled() else working.result()
        finally:
            working.cancel()
            asking.cancel()
            await asyncio.gather(working, asking, return_exceptions=True)
