"""Runs work in threads that always end before a cancelled caller continues."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(stop: threading.Event, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread. When cancelled, set `stop` and return only after the thread has ended, so that its output
    can be removed."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await ended(running)
        raise


async def to_completion(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread and return its result even if cancelled meanwhile."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    await ended(running)
    return running.result()


async def ended(running: asyncio.Future[T]) -> None:
    """Wait for the end of `running` even if cancelled meanwhile; the caller reads the result."""
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
    if not running.cancelled():
        running.exception()  # read, so that asyncio does not log it as never retrieved
