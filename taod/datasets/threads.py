"""Work in threads that a cancellation does not leave behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(stop: threading.Event, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread. When cancelled, set `stop` and come back only once the thread has ended: what it
    wrote can then be removed."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await ended(running)
        raise


async def to_the_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread and take its outcome even when cancelled meanwhile: the cancellation came too late."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    await ended(running)
    return running.result()


async def ended(running: asyncio.Future[T]) -> None:
    """Wait for its end even when cancelled meanwhile; the result is left to the caller."""
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
    if not running.cancelled():
        running.exception()  # read, so that asyncio does not log it as never retrieved
