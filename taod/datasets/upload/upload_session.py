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
from taod.datasets.threads import ended, to_completion
from taod.datasets.upload.atomic_replace import delete
from taod.datasets.upload.digests import Digests
from taod.datasets.upload.disk_quota import DiskQuota
from taod.datasets.upload.growing_file import GrowingFile
from taod.datasets.upload.receiver import Received, receive_into


class UploadSession:
    """`folder/upload` has the received bytes, `folder/tree` the unpacked files. For the event loop's thread.

    Each upload has its own unpacking thread: slow clients would occupy a small pool.
    """

    def __init__(
        self, folder: Path, limits: LimitsConfig, quota: DiskQuota, *, hashed: bool, on_unpacked: Progress | None = None
    ) -> None:
        """Create or continue `folder/upload`; `on_unpacked` is called on the event loop."""
        self.folder = folder
        self.tree = folder / "tree"
        self.file = GrowingFile(folder / "upload", hashed=hashed, quota=quota)
        self.on_unpacked = on_unpacked
        self._limits = limits
        self._quota = quota
        self._unpacked: asyncio.Future[Extracted] | None = None

    def unpack(self) -> None:
        """Start unpacking unless it runs; also again after it failed for lack of disk space."""
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
                with self.file.reader() as reader:
                    done = extract(
                        reader,
                        self.tree,
                        self._limits,
                        lambda files, size: _on(loop, report, files, size),
                        quota=self._quota,
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
        """Append the file in `body`; stops reading as soon as unpacking has failed.

        Raises what `receive_into` and `extract` raise.
        """
        receiving = asyncio.ensure_future(
            receive_into(self.file, body, content_type, filename, self._limits, on_bytes, digests)
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
        """Mark the upload as complete and unpack to the end. Raises what `extract` raises."""
        self.unpack()
        assert self._unpacked is not None
        self.file.finish()
        return await asyncio.shield(self._unpacked)

    async def cut(self, size: int) -> None:
        """Truncate to `size` bytes; the next `unpack` starts over."""
        await self.start_over()
        await self.file.cut(size)

    async def start_over(self) -> None:
        """Delete the unpacked files and keep the received bytes; the next `unpack` starts over."""
        await self._stop_unpacking()
        await to_completion(delete, self.tree)

    async def close(self) -> None:
        """Stop, and keep `folder/upload` for a later part."""
        await self.start_over()
        await self.file.close()

    async def discard(self) -> None:
        """Stop, and delete the folder."""
        await self._stop_unpacking()
        await self.file.close()
        await to_completion(delete, self.folder)

    async def _stop_unpacking(self) -> None:
        self.file.stop()
        if self._unpacked is not None:
            await ended(self._unpacked)
            self._unpacked = None
        self.file.resume()


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
    """Call `call` on the loop, unless the loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *arguments)
