"""The request to stop one run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from taod.scheduler.supervision.exit_classification import AbortReason
from taod.types.reason import CANCELLED_BY_USER

T = TypeVar("T")


class StopRequest:
    """An event with reasons; the reasons may change after it is set."""

    def __init__(self) -> None:
        self.cancelled = CANCELLED_BY_USER
        """The reason of the job if it is cancelled."""
        self.abort: AbortReason | None = None
        """The exceeded limit or lost device, if that is why."""
        self._event = asyncio.Event()

    def end(self) -> None:
        """Set the request."""
        self._event.set()

    async def wait(self) -> None:
        """Wait until the request is set."""
        await self._event.wait()

    async def unless(self, work: Awaitable[T]) -> T | None:
        """The result of `work`; None if it was cancelled because the request was set first.

        Raises the errors of `work`.
        """
        working = asyncio.ensure_future(work)
        asking = asyncio.create_task(self.wait())
        try:
            await asyncio.wait({working, asking}, return_when=asyncio.FIRST_COMPLETED)
            working.cancel()  # No effect if it is done.
            await asyncio.wait({working})
            return None if working.cancelled() else working.result()
        finally:
            working.cancel()
            asking.cancel()
            await asyncio.gather(working, asking, return_exceptions=True)
