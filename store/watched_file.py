"""Checks that the open database file is still the file at its path.

It reads through SQLite's own descriptor: closing a second one would release the locks of the whole process.
"""

from __future__ import annotations

import os
from pathlib import Path

_HEADER = 100
_MAGIC = b"SQLite format 3\0"


class WatchedFile:
    """The open file of a database in WAL mode, and its WAL."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._descriptor = _open_descriptor(path)
        self._wal_descriptor = _open_descriptor(self._wal)
        self._checked = (0 if self._descriptor is None else os.fstat(self._descriptor).st_size, 0)
        """Size and mtime (ns) at the last check of the header."""
        self.problem()

    def problem(self) -> str | None:
        """What is wrong, with a remedy; None if the file at the path is the open one and undamaged."""
        for path, descriptor in ((self._path, self._descriptor), (self._wal, self._wal_descriptor)):
            if descriptor is None:
                continue
            try:
                found = path.stat()
            except OSError as error:
                return f"{path} is not there any more ({error.strerror}); move it back"
            if not os.path.samestat(found, os.fstat(descriptor)):
                return f"{path} is another file than the one that the daemon has opened; move that back"
            if descriptor == self._descriptor and (found.st_size, found.st_mtime_ns) != self._checked:
                if (damage := self._damage()) is not None:
                    return damage
                self._checked = (found.st_size, found.st_mtime_ns)
        return None

    def _damage(self) -> str | None:
        assert self._descriptor is not None
        # The size first: another process that shrinks the file writes the header before it.
        size = os.fstat(self._descriptor).st_size
        header = os.pread(self._descriptor, _HEADER, 0)
        if len(header) < _HEADER or not header.startswith(_MAGIC):
            return f"{self._path} was overwritten or truncated"
        # The file may be shorter than its header says without damage: a checkpoint leaves pages in the WAL that a
        # reader still needs there. It never shrinks the file.
        if size < min(self._checked[0], _page_bytes(header) * int.from_bytes(header[28:32], "big")):
            return f"{self._path} was truncated to {size} bytes"
        return None


def _page_bytes(header: bytes) -> int:
    size = int.from_bytes(header[16:18], "big")
    return 65536 if size == 1 else size


def _open_descriptor(path: Path) -> int | None:
    """This process's open descriptor of the file, if any."""
    try:
        wanted = path.stat()
        numbers = [int(each.name) for each in Path("/proc/self/fd").iterdir()]
    except OSError:
        return None
    for number in numbers:
        try:
            if os.path.samestat(os.fstat(number), wanted):
                return number
        except OSError:
            continue
    return None
