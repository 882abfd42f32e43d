"""Follows a file that may not exist yet, may be replaced, and may lie in a subfolder."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Iterator
from itertools import islice
from pathlib import Path

from taod import plain_file
from taod.watch import FolderWatch

BLOCK = 256 * 1024
"""Bytes read at once."""
DEPTH = 2
"""Levels of subfolders in which a file is searched."""
FOLDERS_SEARCHED = 1_000
ENTRIES_SEARCHED = 30_000
"""Files and folders among which a file is searched: these take 20 ms."""
_TAIL = 64
"""Bytes before the offset that are compared to detect a rewritten file."""


class FileTail:
    """Reads a file from where the last read stopped: `folder/name`, else the newest file of that name in subfolders.

    `generation` counts how often reading restarted at the beginning of another or rewritten file.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.offset = 0
        self.generation = 0
        self._path: Path | None = None
        self._descriptor: int | None = None
        self._last = b""

    @property
    def path(self) -> str | None:
        """The file's path below the folder; None if it was not found yet."""
        return None if self._path is None else str(self._path.relative_to(self.folder))

    def size(self) -> int:
        """The file's size in bytes now; 0 without a file."""
        self._find_file()
        return 0 if self._descriptor is None else os.fstat(self._descriptor).st_size

    def read(self, most: int = BLOCK) -> bytes:
        """The next bytes, at most `most`; empty at the end. Check `generation` after each call: the bytes may be the
        first of another file."""
        self._find_file()
        if self._descriptor is None:
            return b""
        data = os.pread(self._descriptor, len(self._last) + most, self.offset - len(self._last))
        if data[: len(self._last)] != self._last:
            self._restart()
            data = os.pread(self._descriptor, most, 0)
        fresh = data[len(self._last) :]
        self.offset += len(fresh)
        self._last = data[-_TAIL:]
        return fresh

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def concerned(self, paths: set[str]) -> bool:
        """Whether changes at these paths may concern this file; true without paths."""
        if not paths:
            return True
        if any(path.endswith(f"/{self.name}") for path in paths):
            return True
        return self._path is None and any(Path(path).is_dir() for path in paths)

    def _find_file(self) -> None:
        """Find the file, and detect that it was replaced."""
        top = self.folder / self.name
        path = self._path
        if path is None or (path != top and top.is_file()) or not path.is_file():
            path = top if top.is_file() else _newest_below(self.folder, self.name)
        if path is None:
            return  # the open file is read to its end first
        if self._descriptor is not None and path == self._path and _same_file(self._descriptor, path):
            return
        try:
            descriptor = plain_file.descriptor(path)
        except OSError:
            return
        replaces = self._descriptor is not None
        self.close()
        self._descriptor, self._path = descriptor, path
        if replaces:
            self._restart()

    def _restart(self) -> None:
        self.offset = 0
        self._last = b""
        self.generation += 1


async def follow(tail: FileTail) -> AsyncGenerator[bytes, None]:
    """Yields the file's bytes and everything appended to it, without end; a new file's bytes follow an old one's.

    Close the generator (`contextlib.aclosing`) to end its watch.
    """
    async with FolderWatch(tail.folder, recursive=True) as watch:
        while True:
            while data := tail.read():
                yield data
                await asyncio.sleep(0)
            while not tail.concerned(await watch.changed()):
                pass


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return True  # removed: continue with the open file


def _newest_below(folder: Path, name: str) -> Path | None:
    found = []
    for below in _folders(folder):
        path = below / name
        try:
            status = path.stat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            found.append((status.st_mtime_ns, path))
    return max(found)[1] if found else None


def _folders(top: Path) -> Iterator[Path]:
    """The folders below `top`, nearest first, at most DEPTH deep and FOLDERS_SEARCHED many."""
    level, searched, left = [top], 0, ENTRIES_SEARCHED
    for _ in range(DEPTH):
        below: list[Path] = []
        for folder in level:
            try:
                with os.scandir(folder) as entries:
                    for entry in islice(entries, left):
                        left -= 1
                        if entry.is_dir(follow_symlinks=False):
                            below.append(folder / entry.name)
            except OSError:
                continue
        below = below[: FOLDERS_SEARCHED - searched]
        searched += len(below)
        yield from below
        level = below
