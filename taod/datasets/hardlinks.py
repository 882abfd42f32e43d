"""Hard-links existing files into a new folder: for uploads that add to a dataset, and datasets created from jobs.

Neither folder is written to afterwards, so both can share one copy. Files are copied if the file system has no hard
links.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

from taod import plain_file
from taod.datasets.archive.tree_writer import show
from taod.datasets.names import is_junk
from taod.datasets.upload.growing_file import Stopped
from taod.datasets.validation.image_lists import LISTED
from taod.datasets.validation.layouts import layout
from taod.errors import BadRequest

_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})
LEADING = 8
MOST_LINKS = 100
"""Links to folders in one folder of data; each may lead to others."""


def complete(new: Path, old: Path, type_: str, format_: str, cancel: threading.Event | None = None) -> Path:
    """Link the files of `old` that `new` lacks into `new`; returns the folder with the complete dataset.

    Of two files of the same name the new one is kept. Leading folders of the archive are stripped down to the names
    of the dataset. Generated lists of image names are not linked; they are generated again.

    Raises BadRequest if names differ only in case or a file and a folder have the same name; Stopped.
    """
    top = _top(new, _names(old) | _expected(type_, format_), type_)
    left = {f"{name}.txt" for name in LISTED} if type_ == "semantic_segmentation" else set()
    _Filler(cancel).fill(top, old, "", left)
    return top


def copy(folder: Path, into: Path, allowed: Sequence[Path], cancel: threading.Event | None = None) -> None:
    """Create the folder `into` with all files below `folder`, without junk files. Links are followed.

    Raises BadRequest for a link that leads out of the `allowed` folders or into a folder that it is in, for too many
    links to folders, and for what is not a regular file.
    """
    into.mkdir(mode=0o755)
    _Filler(cancel, [each.resolve() for each in allowed]).fill(into, folder, "", set())


def _names(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.is_dir() else set()  # noqa: PTH208


def _expected(type_: str, format_: str) -> set[str]:
    wanted = layout(type_, format_)
    paths = [*wanted.needs, *(path for choice in wanted.one_of for option in choice for path in option)]
    return {path.partition("/")[0] for path in paths}


def _top(new: Path, known: set[str], type_: str) -> Path:
    """The leading folder of the archive that contains a name of the dataset; the outermost folder if none does."""
    top = new
    for _ in range(LEADING + 1):
        names = {name for name in _names(top) if not is_junk(name)}
        if names & known or (type_ == "image_classification" and any(name.startswith("images") for name in names)):
            return top
        if len(names) != 1 or not (top / next(iter(names))).is_dir():
            break
        top = top / next(iter(names))
    return new


class _Filler:
    """Links files of one folder into another; None for `allowed`: links may lead anywhere."""

    def __init__(self, cancel: threading.Event | None, allowed: Sequence[Path] | None = None) -> None:
        self._cancel = cancel
        self._allowed = allowed
        self._inside: list[tuple[int, int]] = []
        """The folder that is being filled and those around it."""
        self._links = 0

    def fill(self, new: Path, old: Path, where: str, left: set[str]) -> None:
        """Link what `new` lacks from `old`, folder by folder; `left`: names at the top that are skipped."""
        if self._cancel is not None and self._cancel.is_set():
            raise Stopped
        status = old.stat()
        if (status.st_dev, status.st_ino) in self._inside:
            raise BadRequest(f"{show(where)} is a symbolic link to a folder that it is in; remove it")
        self._inside.append((status.st_dev, status.st_ino))
        there = {name.casefold(): name for name in _names(new)}
        with os.scandir(old) as entries:
            for entry in entries:
                if is_junk(entry.name) or entry.name in left:
                    continue
                name = f"{where}/{entry.name}" if where else entry.name
                other = there.get(entry.name.casefold())
                if other is not None and other != entry.name:
                    raise BadRequest(
                        f"archive entry {show(f'{where}/{other}'.lstrip('/'))} differs from {show(name)}, which the "
                        "dataset has, in case only; rename one of them, or replace the data (mode=replace)"
                    )
                target = new / entry.name
                if other is not None and target.is_dir() != entry.is_dir():
                    raise BadRequest(
                        f"archive entry {show(name)} is a {'folder' if target.is_dir() else 'file'} where the dataset "
                        f"has a {'folder' if entry.is_dir() else 'file'}; rename it, or replace the data (mode=replace)"
                    )
                if entry.is_dir():
                    target.mkdir(mode=0o755, exist_ok=True)
                    self.fill(target, self._followed(entry, name), name, set())
                elif other is None:
                    _second_name(self._followed(entry, name), target, name)
        self._inside.pop()

    def _followed(self, entry: os.DirEntry[str], name: str) -> Path:
        """What the entry is or leads to. Raises BadRequest for a link out of the allowed folders."""
        if not entry.is_symlink():
            return Path(entry.path)
        target = Path(entry.path).resolve()
        if self._allowed is not None and not any(target.is_relative_to(each) for each in self._allowed):
            raise BadRequest(
                f"{show(name)} is a symbolic link out of the data of the job and of storage.link_roots; "
                "copy what it leads to"
            )
        self._links += entry.is_dir()
        if self._links > MOST_LINKS:
            raise BadRequest(f"{show(name)} is one of over {MOST_LINKS} links to folders; copy what they lead to")
        return target


def _second_name(file: Path, target: Path, name: str) -> None:
    try:
        opened = plain_file.beneath(file.parent, file.name)
    except OSError as error:
        raise BadRequest(f"{show(name)} cannot be used: {error.strerror}; put a regular file there") from None
    with opened:
        try:
            target.hardlink_to(file)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with target.open("xb") as new:
                shutil.copyfileobj(opened, new)
