"""One upload in progress: a growing file, and the thread that unpacks it as it arrives."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from taod.config import LimitsConfig
from taod.datasets.archive.extract import Extracted, extract
from taod.datasets.archive.tree_writer import Progress
from taod.datasets.threads import ended, to_the_end
from taod.datasets.upload.atomic_replace import delete
from taod.datasets.upload.digests import Digests
from taod.datasets.upload.disk_quota import Room
from taod.datasets.upload.growing_file import Spool
from taod.datasets.upload.receiver import Received, receive_into


class Arrival:
    """`folder/upload` is what came, `folder/tree` what was unpacked of it. For the event loop's thread.

    The thread is the upload's own: pools are small, and slow clients are many.
    """

    def __init__(
        self, folder: Path, limits: LimitsConfig, room: Room, *, hashed: bool, on_unpacked: Progress | None = None
    ) -> None:
        """Create `folder/upload`, or continue an existing one; `on_unpacked` is called on the loop."""
        self.folder = folder
        self.tree = folder / "tree"
        self.spool = Spool(folder / "upload", hashed=hashed, room=room)
        self.on_unpacked = on_unpacked
        self._limits = limits
        self._room = room
        self._unpacked: asyncio.Future[Extracted] | None = None

    def unpack(self) -> None:
        """Start to unpack, where that was not started, or failed for lack of space that may be free now."""
        if self._unpacked is not None and not (self._unpacked.done() and self._unpacked.exception()):
            return
        loop = asyncio.get_running_loop()
        unpacked: asyncio.Future[Extracted] = loop.create_future()
        unpacked.add_done_callback(_retrieve)
        self._unpacked = unpacked

        def report(files: int, size: int) -> None:
            if self.on_unpacked is not None:
                self.on_unpacked(files, size)

        def run() -> None:
            done: Extracted | BaseException
            try:
                with self.spool.reader() as reader:
                    done = extract(
                        reader,
                        self.tree,
                        self._limits,
                        lambda files, size: _on(loop, report, files, size),
                        room=self._room,
                    )
            except BaseException as error:
                done = error
            _on(loop, _settle, unpacked, done)

        threading.Thread(target=run, name="unpack-upload", daemon=True).start()

    async def receive(
        self,
        body: AsyncIterator[bytes],
        content_type: str,
        filename: str | None,
        on_bytes: Callable[[int], None],
        digests: Digests | None,
    ) -> Received:
        """Append what `body` carries; as soon as unpacking has found something wrong, no more of it is read.

        Raises what `receive_into` and `extract` raise.
        """
        receiving = asyncio.ensure_future(
            receive_into(self.spool, body, content_type, filename, self._limits, on_bytes, digests)
        )
        waited: set[asyncio.Future[Received] | asyncio.Future[Extracted]] = {receiving}
        if self._unpacked is not None:
            waited.add(self._unpacked)
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done() and self._unpacked is not None:
                self._unpacked.result()
            return await receiving
        finally:
            if not receiving.done():
                receiving.cancel()
                await ended(receiving)

    async def finish(self) -> Extracted:
        """Nothing follows: unpack to the end. Raises what `extract` raises."""
        self.unpack()
        assert self._unpacked is not None
        self.spool.finish()
        return await asyncio.shield(self._unpacked)

    async def cut(self, size: int) -> None:
        """Cut off the bytes behind `size`; the next `unpack` starts over."""
        await self.start_over()
        await self.spool.cut(size)

    async def start_over(self) -> None:
        """Delete what was unpacked; the next `unpack` begins again. What has come stays."""
        await self._stop_unpacking()
        await to_the_end(delete, self.tree)

    async def close(self) -> None:
        """Stop, and keep `folder/upload` for a later part."""
        await self.start_over()
        await self.spool.close()

    async def discard(self) -> None:
        """Stop, and delete the folder."""
        await self._stop_unpacking()
        await self.spool.close()
        await to_the_end(delete, self.folder)

    async def _stop_unpacking(self) -> None:
        self.spool.stop()
        if self._unpacked is not None:
            await ended(self._unpacked)
            self._unpacked = None
        self.spool.resume()


def _retrieve(unpacked: asyncio.Future[Extracted]) -> None:
    """Read the exception, so that asyncio does not log it as never retrieved."""
    if not unpacked.cancelled():
        unpacked.exception()


def _settle(unpacked: asyncio.Future[Extracted], done: Extracted | BaseException) -> None:
    if unpacked.done():
        return
    if isinstance(done, BaseException):
        unpacked.set_exception(done)
    else:
        unpacked.set_result(done)


def _on(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    """Call on the loop, unless it has ended with the daemon."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *arguments)
