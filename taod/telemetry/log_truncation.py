"""Limits a log's disk space by dropping its middle: first as a hole in the open file, later by rewriting it.

A running tool has the file open and appends. A hole frees disk space and keeps all offsets valid for readers and the
writer; after the run has ended, the file is rewritten without the hole.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
from pathlib import Path
from typing import BinaryIO

from taod import atomic_file, plain_file

KEEP_SIZE, PUNCH_HOLE = 1, 2
PAGE = 4096
BLOCK = 1 << 20
LEFT_OUT = "\n[taod: {} bytes of the log were given up here, supervision.log_bytes is {}]\n"


def trim(path: Path, most: int) -> bool:
    """Drop the middle of a log that takes more than `most` bytes of disk; a quarter of `most` is kept at its beginning,
    half at its end. Returns whether it was dropped: some file systems have no holes, so the log keeps growing there."""
    try:
        descriptor = plain_file.descriptor(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        status = os.fstat(descriptor)
        if not most or status.st_blocks * 512 <= most or status.st_size <= most:
            return False
        start = -(-(most // 4) // PAGE) * PAGE
        end = (status.st_size - most // 2) // PAGE * PAGE
        if end - start < 2 * PAGE:
            return False
        os.pwrite(descriptor, LEFT_OUT.format("more", most).encode(), start)
        return _punch(descriptor, start + PAGE, end - start - PAGE)
    finally:
        os.close(descriptor)


def close_up(path: Path, most: int) -> None:
    """Rewrite a log without its hole. Call after the last write."""
    try:
        old = plain_file.beneath(path.parent, path.name)
    except FileNotFoundError:
        return
    with old:
        _rewrite(path, old, most)


def _rewrite(path: Path, old: BinaryIO, most: int) -> None:
    status = os.fstat(old.fileno())
    if status.st_size <= most or not most or status.st_blocks * 512 >= status.st_size:
        return
    aside, descriptor = atomic_file.create_aside(path, 0o600)
    with os.fdopen(descriptor, "wb") as new:
        left_out = 0
        for start, end in _data(old.fileno(), status.st_size):
            if start > 0 and not left_out:
                left_out = start - -(-(most // 4) // PAGE) * PAGE
                new.write(LEFT_OUT.format(left_out, most).encode())
            old.seek(start)
            while start < end and (block := old.read(min(BLOCK, end - start))):
                start += len(block)
                new.write(_without_fill(block))
    aside.replace(path)


def _data(descriptor: int, size: int) -> list[tuple[int, int]]:
    """(start, end) of the file's parts that are not holes."""
    parts, position = [], 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        parts.append((start, position))
    return parts


def _without_fill(block: bytes) -> bytes:
    """The block without zero bytes, which remain of a hole that ends inside a page."""
    return block.replace(b"\0", b"")


def _punch(descriptor: int, start: int, length: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    return int(libc.fallocate(descriptor, KEEP_SIZE | PUNCH_HOLE, start, length)) == 0
