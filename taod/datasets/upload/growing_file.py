"""A file that is read while it grows: an upload appends batches, a thread unpacks them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from taod.datasets.upload.disk_quota import DiskQuota

BATCH = 4 * 1024**2
"""Bytes collected before a thread writes them. One batch is written while the next is collected; none beyond these."""
WAIT_S = 0.25
"""Seconds after which an incomplete batch is written, so that a slow client's files are unpacked as they arrive."""
VECTORS = 512
"""Pieces written by one system call; Linux allows 1,024."""


class Stopped(Exception):
    """The operation was stopped."""


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class GrowingFile:
    """Appends batches to a file in threads, one batch behind. Other threads may call only `more_than` and `wake`.

    `size` counts the bytes added; readers see the bytes written. `hashed`: compute the SHA-256 while writing.
    """

    def __init__(self, path: Path, *, hashed: bool = False, quota: DiskQuota | None = None) -> None:
        """Create the file, or append to an existing one. Raises OSError."""
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self.size = os.fstat(self._file).st_size
        self._hash: _Hash | None = hashlib.sha256() if hashed and not self.size else None
        self._quota = quota
        self._pieces: list[memoryview] = []
        self._gathered = 0
        self._flushed = 0.0
        self._writing: asyncio.Task[None] | None = None
        self._changed = threading.Condition()
        self._visible = self.size
        self._whole = False
        self._stopped = False

    @property
    def is_due(self) -> bool:
        """Whether the collected batch should be written now."""
        # The number of pieces counts too: each is an object and a vector of the system call.
        full = self._gathered >= BATCH or len(self._pieces) >= VECTORS
        return full or (bool(self._pieces) and time.monotonic() - self._flushed > WAIT_S)

    @property
    def visible(self) -> int:
        """Bytes that are in the file."""
        return self._visible

    def add(self, piece: memoryview) -> None:
        self._pieces.append(piece)
        self._gathered += len(piece)
        self.size += len(piece)

    async def flush(self) -> None:
        """Start writing the collected batch once the previous one is written. Raises that one's OSError and NoSpace."""
        await self._settle()
        self._flushed = time.monotonic()
        if self._pieces:
            self._writing = asyncio.create_task(asyncio.to_thread(self._write, self._pieces, self._gathered))
            self._pieces, self._gathered = [], 0

    async def written(self) -> None:
        """Wait until all added bytes are written. Raises OSError and NoSpace."""
        await self.flush()
        await self._settle()

    async def cut(self, size: int) -> None:
        """Truncate to `size` bytes. `sha256` then reads the whole file."""
        self._pieces, self._gathered = [], 0
        try:
            await self._settle()
        finally:
            os.ftruncate(self._file, size)
            self.size = size
            self._hash = None
            with self._changed:
                self._visible = size

    async def sync(self) -> None:
        """Flush the file to the disk."""
        await asyncio.to_thread(os.fdatasync, self._file)

    async def sha256(self) -> bytes:
        """The digest of the whole file."""
        if self._hash is not None:
            return self._hash.digest()
        return await asyncio.to_thread(_digest, self.path)

    def finish(self) -> None:
        """Mark the file as complete: readers reach its end."""
        with self._changed:
            self._whole = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Stop readers: they raise Stopped."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def resume(self) -> None:
        """Allow new readers after `stop`."""
        self._stopped = False

    async def close(self) -> None:
        """Close the file, also after an error, and keep it on disk."""
        try:
            await self._settle()
        except Exception:
            pass  # `flush` or `written` have raised it
        finally:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    async def discard(self) -> None:
        """Close and delete the file, also after an error."""
        await self.close()
        await asyncio.to_thread(self.path.unlink, missing_ok=True)  # a large file takes a while

    def reader(self) -> GrowingReader:
        """A reader from the beginning of the file, for one other thread."""
        return GrowingReader(self)

    def more_than(self, known: int | None, left: threading.Event) -> int:
        """Wait until more than `known` bytes are written or the file is complete (None: only that). Returns the number.

        Of a complete file they may be fewer. Raises Stopped after `stop`, and after `left` was set and `wake` called.
        """

        def enough() -> bool:
            more = known is not None and self._visible > known
            return more or self._whole or self._stopped or left.is_set()

        with self._changed:
            self._changed.wait_for(enough)
            if self._stopped or left.is_set():
                raise Stopped
            return self._visible

    def wake(self) -> None:
        """Wake waiting readers."""
        with self._changed:
            self._changed.notify_all()

    async def _settle(self) -> None:
        writing = self._writing
        if writing is None:
            return
        try:
            await asyncio.shield(writing)
        except Exception:
            self._restore()
            raise
        finally:
            if writing.done():
                self._writing = None

    def _restore(self) -> None:
        """After a failed write, truncate to the end of the previous batch."""
        os.ftruncate(self._file, self._visible)
        self._pieces, self._gathered, self.size = [], 0, self._visible
        self._hash = None

    def _write(self, pieces: list[memoryview], size: int) -> None:
        if self._quota is not None:
            self._quota.check(size)
        if self._hash is not None:
            for piece in pieces:
                self._hash.update(piece)
        _write(self._file, pieces)
        with self._changed:
            self._visible += size
            self._changed.notify_all()


class GrowingReader:
    """Reads a growing file from its beginning and waits for bytes. For one thread, not the event loop's."""

    def __init__(self, growing: GrowingFile) -> None:
        self._growing = growing
        self._at = 0
        self._left = threading.Event()
        self.on_wait: Callable[[], None] | None = None
        """Called in the reading thread before it waits for bytes."""
        self._file = growing.path.open("rb", buffering=0)

    def __enter__(self) -> GrowingReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`; empty at the end. Raises Stopped."""
        if self.on_wait is not None and self._growing.visible <= self._at:
            self.on_wait()
        there = self.more_than(self._at)
        data = self._file.read(max(0, min(size, there - self._at) if size >= 0 else there - self._at))
        self._at += len(data)
        return data

    def whole(self) -> IO[bytes]:
        """Wait until the file is complete and open it from its beginning. Raises Stopped."""
        self._growing.more_than(None, self._left)
        self._file.seek(0)
        return self._file

    def leave(self) -> None:
        """Make a waiting `read` in any thread raise Stopped."""
        self._left.set()
        self._growing.wake()

    def rewind(self) -> None:
        """Continue reading at the beginning."""
        self._at = 0
        self._file.seek(0)

    def more_than(self, known: int) -> int:
        """As `GrowingFile.more_than`. Raises Stopped."""
        return self._growing.more_than(known, self._left)


def _write(file: int, pieces: list[memoryview]) -> None:
    at = 0
    while at < len(pieces):
        written = os.writev(file, pieces[at : at + VECTORS])
        while at < len(pieces) and written >= len(pieces[at]):
            written -= len(pieces[at])
            at += 1
        if written:
            pieces[at] = pieces[at][written:]
    pieces.clear()  # remaining references to the list must not keep the batch in memory


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
