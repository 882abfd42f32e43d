"""Unpacks an archive into a new folder. Its kind is recognised by its content; a rejected archive leaves no files."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

from taod.config import LimitsConfig
from taod.datasets.archive.decompression import MAGIC, Corrupt, ReadAhead, Source, Truncated, Unpacked
from taod.datasets.archive.tarstream import BLOCK, TarReader
from taod.datasets.archive.tree_writer import Progress, Tree, show
from taod.datasets.archive.zips import unzip
from taod.datasets.archive.zstd import Unzstd
from taod.datasets.upload.disk_quota import DiskQuota
from taod.datasets.upload.growing_file import GrowingReader
from taod.errors import BadRequest, NoSpace

KNOWN = "send a .tar, .tar.gz, .tar.bz2, .tar.xz, .tar.zst or .zip"

_FOREIGN = {
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x89PNG": "an image",
    b"\xff\xd8": "an image",
}


class Extracted(NamedTuple):
    """Number and total size of the written files."""

    files: int
    bytes: int


def extract(
    archive: Path | GrowingReader,
    into: Path,
    limits: LimitsConfig,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    *,
    quota: DiskQuota | None = None,
) -> Extracted:
    """Unpack `archive` into the new folder `into`, which is removed again on any failure. Blocks: run in a thread.

    An archive that is still being received is unpacked as it arrives; a zip once it is complete, since its directory
    is at its end. `progress(files, bytes)` is called from this thread at most ten times a second, and once at the end.
    Links inside become hard links to their targets; files of operating systems (`__MACOSX`, `._*`) are skipped.

    Raises BadRequest naming the entry and the remedy, NoSpace, Stopped if `cancel` is set or the upload is aborted, and
    FileExistsError if `into` exists.
    """
    into.mkdir(mode=0o755)
    try:
        tree = _extract(archive, into, limits, progress, cancel, quota)
        if not tree.files:
            raise BadRequest(f"the archive holds no files; {KNOWN} with the dataset in it")
    except BaseException as error:
        shutil.rmtree(into, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace("the disk is full: the archive could not be unpacked; make room and upload again") from error
        raise
    if progress is not None:
        progress(tree.files, tree.bytes)
    return Extracted(tree.files, tree.bytes)


def _extract(
    archive: Path | GrowingReader,
    into: Path,
    limits: LimitsConfig,
    progress: Progress | None,
    cancel: threading.Event | None,
    quota: DiskQuota | None,
) -> Tree:
    if isinstance(archive, Path):
        with archive.open("rb", buffering=0) as file:
            tree = Tree(into, limits, archive.stat().st_size, progress, cancel, quota=quota)
            kind = recognise(file.read(BLOCK))
            file.seek(0)
            _unpack(file, lambda: file, kind, tree, limits)
        return tree
    with archive:
        tree = Tree(into, limits, 0, progress, cancel, more_than=archive.more_than, quota=quota)
        kind = recognise(_head(archive))
        archive.rewind()
        archive.on_wait = tree.report_progress
        _unpack(archive, archive.whole, kind, tree, limits)
    return tree


def _head(archive: GrowingReader) -> bytes:
    head = b""
    while len(head) < BLOCK and (more := archive.read(BLOCK - len(head))):
        head += more
    return head


def _unpack(source: Source, whole: Callable[[], IO[bytes]], kind: str, tree: Tree, limits: LimitsConfig) -> None:
    try:
        if kind == "zip":
            unzip(whole(), tree, limits)
        elif kind == "tar":
            _untar(TarReader(source.read, tree.spend), tree)
        else:
            leave = source.leave if isinstance(source, GrowingReader) else None
            with ReadAhead(Unzstd(source) if kind == "zstd" else Unpacked(source, kind), leave) as unpacked:
                _untar(TarReader(unpacked.read, tree.spend), tree)
    except Truncated:
        raise BadRequest(
            f"the archive is truncated: it ends after {tree.files} whole files; send it again, whole"
        ) from None
    except Corrupt as error:
        raise BadRequest(
            f"the archive cannot be unpacked: after {tree.files} whole files {error}; pack and send it again"
        ) from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise BadRequest("the archive holds a name that is too long for this disk; shorten it") from None
        raise


def _untar(reader: TarReader, tree: Tree) -> None:
    for name, kind, size, target in reader:
        if kind == "file":
            tree.file(name, size, reader.data())
        elif kind == "folder":
            tree.folder(name)
        elif kind in ("hard link", "symbolic link"):
            tree.link(name, kind, target)
        else:
            raise BadRequest(f"archive entry {show(name)} is a {kind}; only files and folders are taken: leave it out")


def recognise(head: bytes) -> str:
    """`zip`, `tar`, `gzip`, `bzip2`, `xz` or `zstd`, by the first 512 bytes; raises BadRequest for anything else."""
    if not head:
        raise BadRequest(f"the upload is empty (0 bytes); {KNOWN}")
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    if len(head) >= 4 and 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18":
        return "zstd"  # a skippable frame first, as pzstd writes
    if head[257:262] == b"ustar" or _is_old_tar(head):
        return "tar"
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise BadRequest(f"the upload is {what}; {KNOWN}")
    raise BadRequest(f"the upload is not an archive of a known kind: it begins with {head[:8]!r}; {KNOWN}")


def _is_old_tar(head: bytes) -> bool:
    """Tar from before ustar has no magic, only a checksum; an empty tar is zeros."""
    if len(head) < BLOCK:
        return False
    if head == bytes(BLOCK):
        return True
    try:
        checksum = int(head[148:156].partition(b"\0")[0], 8)
    except ValueError:
        return False
    return checksum == sum(head) - sum(head[148:156]) + 8 * 32
