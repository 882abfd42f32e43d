"""Hard-links existing files into a new folder: for uploads that add to a dataset, and datasets created from jobs.

Neither folder is written to afterwards, so both can share one copy. Files are copied if the file system has no hard
links.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path

from taod.datasets.archive.tree_writer import show
from taod.datasets.names import is_junk
from taod.datasets.upload.growing_file import Stopped
from taod.datasets.validation.image_lists import LISTED
from taod.datasets.validation.layouts import layout
from taod.errors import BadRequest

_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})
LEADING = 8


def complete(new: Path, old: Path, type_: str, format_: str, cancel: threading.Event | None = None) -> Path:
    """Link the files of `old` that `new` lacks into `new`; returns the folder with the complete dataset.

    Of two files of the same name the new one is kept. Leading folders of the archive are stripped down to the names
    of the dataset. Generated lists of image names are not linked; they are generated again.

    Raises BadRequest if names differ only in case or a file and a folder have the same name; Stopped.
    """
    top = _top(new, _names(old) | _expected(type_, format_), type_)
    left = {f"{name}.txt" for name in LISTED} if type_ == "semantic_segmentation" else set()
    _fill(top, old, "", left, cancel)
    return top


def copy(folder: Path, into: Path, cancel: threading.Event | None = None) -> None:
    """Create the folder `into` with all files below `folder`. Links are followed, junk files skipped."""
    into.mkdir(mode=0o755)
    _fill(into, folder, "", set(), cancel)


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


def _fill(new: Path, old: Path, where: str, left: set[str], cancel: threading.Event | None) -> None:
    """Link what `new` lacks from `old`, folder by folder; `left`: names at the top that are skipped."""
    if cancel is not None and cancel.is_set():
        raise Stopped
    there = {name.casefold(): name for name in _names(new)}
    with os.scandir(old) as entries:
        for entry in entries:
            if is_junk(entry.name) or entry.name in left:
                continue
            name = f"{where}/{entry.name}" if where else entry.name
            other = there.get(entry.name.casefold())
            if other is not None and other != entry.name:
                raise BadRequest(
                    f"archive entry {show(f'{where}/{other}'.lstrip('/'))} differs from {show(name)}, which the data "
                    "set has, in case only; rename one of them, or replace the data (mode=replace)"
                )
            target = new / entry.name
            if other is not None and target.is_dir() != entry.is_dir():
                raise BadRequest(
                    f"archive entry {show(name)} is a {'folder' if target.is_dir() else 'file'} where the dataset has "
                    f"a {'folder' if entry.is_dir() else 'file'}; rename it, or replace the data (mode=replace)"
                )
            if entry.is_dir():
                target.mkdir(mode=0o755, exist_ok=True)
                _fill(target, old / entry.name, name, set(), cancel)
            elif other is None:
                _second_name(Path(entry.path).resolve(), target)


def _second_name(file: Path, target: Path) -> None:
    try:
        target.hardlink_to(file)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(file, target)
