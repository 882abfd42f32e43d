"""Opens files created by a run, a user or in a linked folder: only regular files, and without blocking.

Opening a FIFO blocks until its other end is open, and opening a device may have side effects. In the folder of a job
a run may replace any file by a link: files there are opened without following links.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_SAFELY = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OF_OTHERS = frozenset({errno.ENXIO, errno.ENODEV, errno.EISDIR, errno.ELOOP})
"""Errors of sockets, FIFOs without a reader, devices, folders, and links that are not followed."""
MOST_BYTES = 256 << 20
"""Most bytes that are read into memory, unless a caller knows better."""
SMALL = 1 << 20
"""The same for a file that has a line or two."""


class NotRegular(FileNotFoundError):
    """The path is not a regular file, or has more bytes than are read."""


def descriptor(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600, *, within: int | None = None) -> int:
    """A descriptor of a regular file. `within`: the descriptor of the folder that a relative path is in.

    Raises NotRegular, or another OSError.
    """
    try:
        opened = os.open(path, flags | _SAFELY, mode, dir_fd=within)
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


def beneath(top: Path, name: str) -> BinaryIO:
    """The regular file `name` below a folder, open for reading; no link on the way is followed. Raises OSError."""
    *folders, last = PurePosixPath(name).parts
    if ".." in folders or last == "..":
        raise NotRegular(errno.ENOENT, "it is not below its folder", name)
    within = os.open(top, _FOLDER)
    try:
        for each in folders:
            outer, within = within, os.open(each, _FOLDER | os.O_NOFOLLOW, dir_fd=within)
            os.close(outer)
        opened = descriptor(Path(last), os.O_RDONLY | os.O_NOFOLLOW, within=within)
    finally:
        os.close(within)
    return os.fdopen(opened, "rb")


def read(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file. Raises NotRegular, also for one of more than `most` bytes, or another OSError."""
    with binary(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise NotRegular(errno.EFBIG, f"it has more than {most} bytes", str(path))
    return content


def size(path: Path) -> int | None:
    """Bytes of a regular file; None if there is none, or a link."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
