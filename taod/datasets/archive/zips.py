"""Unpacks zip into a tree: stored and deflated members, each checked against its CRC."""

from __future__ import annotations

import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from taod.config import LimitsConfig
from taod.datasets.archive.decompression import Corrupt, Truncated
from taod.datasets.archive.tree_writer import Tree, show
from taod.errors import BadRequest

CHUNK = 1024 * 1024
LINK_BYTES = 4096
ENCRYPTED = 0x1
UNIX = 3

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Other methods are rare, and the standard library decompresses them in unbounded memory.


def unzip(file: IO[bytes], tree: Tree, limits: LimitsConfig) -> None:
    """Write every member into `tree`. Raises BadRequest naming the entry, Truncated and Corrupt."""
    _check_count(file, limits)
    try:
        with _opened(file) as archive:
            for info in archive.infolist():
                _member(archive, info, tree)
    except (zipfile.BadZipFile, zlib.error, EOFError, lzma.LZMAError, NotImplementedError, UnicodeDecodeError) as error:
        raise Corrupt(f"its zip data is damaged ({error})") from error


def _opened(file: IO[bytes]) -> zipfile.ZipFile:
    size = file.seek(0, os.SEEK_END)
    try:
        archive = zipfile.ZipFile(file)
    except (OSError, ValueError, OverflowError, struct.error) as error:
        raise Corrupt(f"its zip directory is damaged ({error})") from error
    if not all(0 <= info.header_offset < size for info in archive.infolist()):
        raise Corrupt("its zip directory points outside the archive")
    return archive


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, tree: Tree) -> None:
    # Some Windows programs write backslashes; they become separators before the name is checked.
    name = info.filename.replace("\\", "/")
    if len(name) > 1 and name[1] == ":":
        name = f"/{name}"
    mode = stat.S_IFMT(info.external_attr >> 16) if info.create_system == UNIX else 0
    if info.flag_bits & ENCRYPTED:
        raise BadRequest(f"archive entry {show(name)} is encrypted; pack it without a password")
    if name.endswith("/") or mode == stat.S_IFDIR:
        tree.folder(name)
        return
    if mode not in (0, stat.S_IFREG, stat.S_IFLNK):
        raise BadRequest(f"archive entry {show(name)} is a device or a fifo; only files and folders are taken")
    if info.compress_type not in _METHODS:
        known = zipfile.compressor_names.get(info.compress_type, str(info.compress_type))  # type: ignore[attr-defined]
        raise BadRequest(f"archive entry {show(name)} is compressed by {known}; pack it with deflate, the usual one")
    if mode == stat.S_IFLNK:
        tree.link(name, "symbolic link", _target(archive, info, name))
    else:
        tree.file(name, info.file_size, _pieces(archive, info))


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as member:
        left = info.file_size
        while piece := member.read(CHUNK):
            left -= len(piece)
            yield piece
    if left:
        raise Corrupt(f"entry {show(info.filename)} is shorter than it says")


def _target(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> str:
    if info.file_size > LINK_BYTES:
        raise BadRequest(f"archive entry {show(name)} is a link of {info.file_size} bytes; leave it out")
    with archive.open(info) as member:
        target = member.read(LINK_BYTES)
    try:
        return target.decode()
    except UnicodeDecodeError:
        raise BadRequest(f"archive entry {show(name)} is a link whose target is not UTF-8; leave it out") from None


def _check_count(file: IO[bytes], limits: LimitsConfig) -> None:
    """Check the number of entries in the end record: the standard library reads the whole directory into memory."""
    size = file.seek(0, os.SEEK_END)
    tail_at = max(0, size - 65_535 - 22 - 20)
    file.seek(tail_at)
    tail = file.read(size - tail_at)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise Truncated
    count: int = struct.unpack_from("<H", tail, end + 10)[0]
    if count == 0xFFFF and tail[end - 20 : end - 16] == b"PK\x06\x07":
        file.seek(min(size, struct.unpack_from("<Q", tail, end - 12)[0]))
        record = file.read(56)
        if len(record) < 56 or record[:4] != b"PK\x06\x06":
            raise Corrupt("its zip64 end record is not where it should be")
        count = struct.unpack_from("<Q", record, 32)[0]
    if count > limits.archive_files:
        raise BadRequest(
            f"the archive holds {count} entries, over the {limits.archive_files} of limits.archive_files; "
            "split it, or raise that limit"
        )
    file.seek(0)
