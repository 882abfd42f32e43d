"""Streamed response bodies: files in blocks, archives while they are written; and waiting for one of several events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, BinaryIO

BLOCK_BYTES = 256 * 1024
_MAX_QUEUED_BLOCKS = 8


async def file_blocks(source: BinaryIO, start: int, length: int) -> AsyncIterator[bytes]:
    """`length` bytes of an open file from `start` on, in blocks read by a thread; fewer if it becomes shorter.

    Closes the file.
    """
    try:
        await asyncio.to_thread(source.seek, start)
        while length > 0:
            block = await asyncio.to_thread(source.read, min(BLOCK_BYTES, length))
            if not block:
                return
            length -= len(block)
            yield block
    finally:
        source.close()


async def written_by(write: Callable[[IO[bytes]], None]) -> AsyncGenerator[bytes, None]:
    """The blocks that a function, run in a thread, writes to a file object.

    At most `_MAX_QUEUED_BLOCKS` blocks are in memory. The function is stopped if the reader leaves; its errors are
    raised here.
    """
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes | None] = asyncio.Queue(_MAX_QUEUED_BLOCKS)
    pipe = _Pipe(loop, blocks)

    def work() -> None:
        try:
            write(pipe)  # type: ignore[arg-type]
        except _ReaderLeft:
            pass
        finally:
            pipe.end()

    # A separate thread, because a slow reader must not block the shared ones.
    own = ThreadPoolExecutor(1, thread_name_prefix="archive")
    worker = loop.run_in_executor(own, work)
    try:
        while (block := await blocks.get()) is not None:
            yield block
        await worker
    finally:
        pipe.left = True
        while not blocks.empty():
            blocks.get_nowait()
        own.shutdown(wait=False)


class _ReaderLeft(Exception):
    """The client has disconnected."""


class _Pipe:
    """The writing end: collects blocks, passes them to the event loop, and waits while too many are unread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, blocks: asyncio.Queue[bytes | None]) -> None:
        self._loop = loop
        self._blocks = blocks
        self._gathered = bytearray()
        self.left = False

    def write(self, block: bytes) -> int:
        self._gathered += block
        if len(self._gathered) >= BLOCK_BYTES:
            self.flush()
        return len(block)

    def flush(self) -> None:
        if self._gathered:
            block, self._gathered = bytes(self._gathered), bytearray()
            self._put(block)

    def end(self) -> None:
        with contextlib.suppress(_ReaderLeft):
            self.flush()
            self._put(None)

    def _put(self, block: bytes | None) -> None:
        if self.left or self._loop.is_closed():
            raise _ReaderLeft
        try:
            asyncio.run_coroutine_threadsafe(self._blocks.put(block), self._loop).result()
        except (RuntimeError, asyncio.CancelledError) as error:
            raise _ReaderLeft from error


@contextlib.asynccontextmanager
async def any_of(*events: asyncio.Event) -> AsyncIterator[asyncio.Event]:
    """An event that is set as soon as one of `events` is."""
    either = asyncio.Event()

    async def watch(event: asyncio.Event) -> None:
        await event.wait()
        either.set()

    if any(event.is_set() for event in events):
        either.set()
    watchers: list[asyncio.Task[Any]] = [asyncio.create_task(watch(event)) for event in events]
    try:
        yield either
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
