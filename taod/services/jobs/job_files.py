"""The files of a job: listing, finding and packing them. Runs in threads; never touches the store."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from taod import plain_file
from taod.clock import iso
from taod.errors import NotFound
from taod.paths import JobFolder
from taod.types.job import Artifact

COMPRESSION = 1
BLOCK = 256 * 1024


def list_artifacts(folder: JobFolder) -> list[Artifact]:
    """The files of a job by path, links left out."""
    found = [
        Artifact(path=name, size_bytes=entry.st_size, modified_on=iso(entry.st_mtime))
        for name, _, entry in _walk(folder.path)
    ]
    return sorted(found, key=lambda artifact: artifact.path)


def find_artifact(folder: JobFolder, path: str) -> Path:
    """One file of a job. Raises NotFound for what is not there, is no plain file, or would lead out of the folder."""
    top, name = folder.path.resolve(), path.lstrip("/")
    try:
        found = (top / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise NotFound(f"the job has no file {name!r}; GET …/files lists those that it has") from error
    if not found.is_relative_to(top) or not found.is_file():
        raise NotFound(f"the job has no file {name!r}; GET …/files lists those that it has")
    return found


def has_artifacts(folder: JobFolder) -> bool:
    """Whether there is anything to download."""
    return next(_walk(folder.path), None) is not None


def pack(folder: JobFolder, top: str, into: IO[bytes]) -> None:
    """Write a .tar.gz of a job's files, under one folder named `top`, to a stream.

    The files of `results/` come straight below `top`, as published clients expect them; log, spec and command
    beside them. A file that is still being written is taken as long as it was when its turn came.
    """
    prefix = folder.results.name + "/"
    with (
        gzip.GzipFile(fileobj=into, mode="wb", compresslevel=COMPRESSION, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", bufsize=BLOCK) as archive,
    ):
        for name, path, _ in sorted(_walk(folder.path), key=lambda entry: entry[0]):
            if name.startswith("runs/"):
                continue
            inside = name.removeprefix(prefix)
            _add(archive, path, f"{top}/{inside}")


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    try:
        source = plain_file.binary(path)
    except OSError:
        return
    with source:
        info = archive.gettarinfo(arcname=name, fileobj=source)
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        archive.addfile(info, _Padded(source, info.size))


class _Padded:
    """Reads exactly `size` bytes of a file: zeros where it became shorter meanwhile."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self._source = source
        self._left = size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        block = self._source.read(wanted)
        block += bytes(wanted - len(block))
        self._left -= wanted
        return block


def _walk(top: Path) -> Iterator[tuple[str, Path, os.stat_result]]:
    """(path relative to `top`, path, stat) of every plain file below `top`."""
    for folder, _, names in os.walk(top, followlinks=False):
        for name in names:
            path = Path(folder, name)
            try:
                found = path.lstat()
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode):
                yield path.relative_to(top).as_posix(), path, found
