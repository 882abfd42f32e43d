"""What tells one folder's content from another: names, sizes and times; no file is read. Blocks: for a thread."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from taod.datasets.junk import is_junk

_MODULUS = 1 << 128


class Figures(NamedTuple):
    """How many regular files, and how many bytes."""

    files: int
    bytes: int


def fingerprint(top: Path) -> str:
    """`<files>-<bytes>-<mark>`, in hexadecimal: as a data set's summary tells it.

    Links are followed, a folder is entered once, leftovers of operating systems are passed over. Raises OSError.
    """
    files = size = mark = 0
    left = [""]
    entered: set[tuple[int, int]] = set()
    while left:
        where = left.pop()
        told = os.stat(top / where)  # noqa: PTH116 (as often as there are folders)
        if (told.st_dev, told.st_ino) in entered:
            continue
        entered.add((told.st_dev, told.st_ino))
        with os.scandir(top / where) as entries:
            for entry in entries:
                if is_junk(entry.name):
                    continue
                path = f"{where}/{entry.name}" if where else entry.name
                if entry.is_file():
                    about = entry.stat()
                    files += 1
                    size += about.st_size
                    facts = f"{path}\0{about.st_size}\0{about.st_mtime_ns}".encode(errors="surrogateescape")
                    # Summed, so that the order in which a file system lists its files does not matter.
                    mark += int.from_bytes(hashlib.blake2b(facts, digest_size=16).digest(), "big")
                elif entry.is_dir():
                    left.append(path)
    return f"{files:x}-{size:x}-{mark % _MODULUS:032x}"


def figures(text: str) -> Figures:
    """What a fingerprint says in words."""
    files, size, _ = text.split("-")
    return Figures(int(files, 16), int(size, 16))
