"""Fingerprints of folders by names, sizes and times, without reading files. Blocks: run in a thread."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from taod.datasets.names import is_junk

_MODULUS = 1 << 128


class Figures(NamedTuple):
    """Number and total size of regular files."""

    files: int
    bytes: int


class FingerprintSum:
    """Accumulates a fingerprint: the sum of one hash for each file, so that their order does not matter."""

    def __init__(self) -> None:
        self.files = self.bytes = self._sum = 0

    def add(self, path: str, status: os.stat_result) -> None:
        """Add a file by its path below the top."""
        self.files += 1
        self.bytes += status.st_size
        facts = f"{path}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="surrogateescape")
        self._sum += int.from_bytes(hashlib.blake2b(facts, digest_size=16).digest(), "big")

    def __str__(self) -> str:
        """`<files>-<bytes>-<mark>`, in hexadecimal."""
        return f"{self.files:x}-{self.bytes:x}-{self._sum % _MODULUS:032x}"


def folders(top: Path) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Each folder's path below the top, with its regular files.

    Links are followed, each folder is entered once, files of operating systems are skipped. Raises OSError.
    """
    left = [""]
    entered: set[tuple[int, int]] = set()
    while left:
        where = left.pop()
        status = os.stat(top / where)  # noqa: PTH116 (as often as there are folders)
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        files = []
        with os.scandir(top / where) as entries:
            for entry in entries:
                if is_junk(entry.name):
                    continue
                if entry.is_file():
                    files.append(entry)
                elif entry.is_dir():
                    left.append(f"{where}/{entry.name}" if where else entry.name)
        yield where, files


def fingerprint(top: Path) -> str:
    """The text of the `FingerprintSum` of a folder's files, as a dataset's summary has it. Raises OSError."""
    mark = FingerprintSum()
    for where, entries in folders(top):
        for entry in entries:
            mark.add(f"{where}/{entry.name}" if where else entry.name, entry.stat())
    return str(mark)


def figures(text: str) -> Figures:
    """The number of files and bytes in a fingerprint's text."""
    files, size, _ = text.split("-")
    return Figures(int(files, 16), int(size, 16))
