"""Opens files created by a run, a user or in a linked folder: only regular files, and without blocking.

Opening a FIFO blocks until its other end is open, and opening a device may have side effects.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_SAFELY = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


_OF_OTHERS = frozenset({errno.ENXIO, errno.ENODEV, errno.EISDIR})
"""Errors of sockets, FIFOs without a reader, devices and folders."""


class NotRegular(FileNotFoundError):
    """The path is not a regular file."""


def descriptor(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """A descriptor of a regular file. Raises NotRegular, or another OSError."""
    try:
        opened = os.open(path, flags | _SAFELY, mode)
    except OSError as error:
        if error.errno in _OF_OTHERS:
            raise NotRegular(error.errno, "it is not a regular file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise NotRegular(0, "it is not a regular file", str(path))
    os.set_blocking(opened, True)
    return opened


def binary(path: Path) -> BinaryIO:
    """A regular file, open for reading."""
    return open(path, "rb", opener=lambda _, flags: descriptor(path, flags))


def read(path: Path) -> bytes:
    """The content of a regular file."""
    with binary(path) as file:
        return file.read()


def size(path: Path) -> int | None:
    """Bytes of a regular file; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
