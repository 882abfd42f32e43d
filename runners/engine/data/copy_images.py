"""Putting images of a dataset into the results of a job: copies, or further names of the same files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from runners.engine.errors import DataError

IMAGES = "images"
_FICLONE = 0x40049409


def required_setting(value: str | None, name: str) -> str:
    """A setting that there must be. Raises DataError."""
    if not value:
        raise DataError(f"{name}: it is not set; name the folder or file to read.")
    return value


def place_images(
    source: Path, into: Path, names: Mapping[str, str], report: Callable[[int, int], None], *, link: bool
) -> None:
    """Put images below `into`, each under its new name: copies, or further names of the same files."""
    for done, (image, name) in enumerate(names.items()):
        place = into / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place_file(source / image, place, link=link)
        report(done, len(names))


def place_file(source: Path, place: Path, *, link: bool) -> None:
    """One file at a new place; a copy shares its blocks where the file system can do that."""
    if link:
        with contextlib.suppress(OSError):
            os.link(source, place)
            return
    with source.open("rb") as given, place.open("wb") as taken:
        try:
            fcntl.ioctl(taken, _FICLONE, given.fileno())
        except OSError:  # the file system cannot share blocks
            shutil.copyfileobj(given, taken, 1024 * 1024)
