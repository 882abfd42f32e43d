"""Lists, finds and packs the files of a job. Runs in threads; never uses the store."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from taod import plain_file
from taod.clock import iso
from taod.errors import NotFound
from taod.paths import JobFolder
from taod.types.job import Artifact

COMPRESSION_LEVEL = 1
BLOCK_BYTES = 256 * 1024


def list_artifacts(folder: JobFolder) -> list[Artifact]:
    """The files of a job without links, sorted by path."""
    found = [
        Artifact(path=name, size_bytes=entry.st_size, modified_on=iso(entry.st_mtime))
        for name, entry in _walk(folder.path)
    ]
    return sorted(found, key=lambda artifact: artifact.path)


def open_artifact(folder: JobFolder, path: str) -> BinaryIO:
    """One file of a job, open for reading. Raises NotFound unless it is a regular file inside the job's folder."""
    top, name = folder.path.resolve(), path.lstrip("/")
    try:
        found = (top / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise NotFound(f"the job has no file {name!r}; GET …/files lists those that it has") from error
    try:
        return plain_file.beneath(top, found.relative_to(top).as_posix())
    except (OSError, ValueError) as error:
        raise NotFound(f"the job has no file {name!r}; GET …/files lists those that it has") from error


def has_artifacts(folder: JobFolder) -> bool:
    """Whether the job has any file."""
    return next(_walk(folder.path), None) is not None


def pack(folder: JobFolder, top: str, into: IO[bytes]) -> None:
    """Write a .tar.gz of a job's files, below one folder named `top`, to a stream.

    The files of `results/` are directly below `top`, as published clients expect; log, spec and command are beside
    them. A file that is still being written is packed with its size at that moment.
    """
    prefix = folder.results.name + "/"
    with (
        gzip.GzipFile(fileobj=into, mode="wb", compresslevel=COMPRESSION_LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", bufsize=BLOCK_BYTES) as archive,
    ):
        for name, _ in sorted(_walk(folder.path), key=lambda entry: entry[0]):
            if name.startswith("runs/"):
                continue
            inside = name.removeprefix(prefix)
            _add(archive, folder.path, name, f"{top}/{inside}")


def _add(archive: tarfile.TarFile, top: Path, below: str, name: str) -> None:
    try:
        source = plain_file.beneath(top, below)
    except OSError:
        return
    with source:
        info = archive.gettarinfo(arcname=name, fileobj=source)
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        archive.addfile(info, _Padded(source, info.size))


class _Padded:
    """Reads exactly `size` bytes of a file; zeros if it became shorter."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self._source = source
        self._remaining = size

    def read(self, size: int = -1) -> bytes:
        wanted = self._remaining if size < 0 else min(size, self._remaining)
        block = self._source.read(wanted)
        block += bytes(wanted - len(block))
        self._remaining -= wanted
        return block


def _walk(top: Path) -> Iterator[tuple[str, os.stat_result]]:
    """(path relative to `top`, stat) of every regular file below `top`."""
    for folder, _, names in os.walk(top, followlinks=False):
        for name in names:
            path = Path(folder, name)
            try:
                found = path.lstat()
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode):
                yield path.relative_to(top).as_posix(), found
