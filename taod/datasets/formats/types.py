"""Results of label readers: items (an image with its labels) and problems (file, line, what, expected). Pure."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from taod import plain_file
from taod.datasets.names import is_junk, is_text
from taod.datasets.validation.layouts import IMAGE_SUFFIXES

MOST_TEXT = 64 * 1024**2
"""Largest text label file in bytes."""
SHOWN = 60
"""Characters of an invalid value that a problem quotes."""


class Box(NamedTuple):
    """Edges in pixels; left and top are inclusive."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


class Label(msgspec.Struct, frozen=True, gc=False):
    """One object: its class and, if known, its box. `line`: in the item's source, from 1; 0: unknown."""

    name: str
    box: Box | None = None
    line: int = 0


class Item(msgspec.Struct):
    """One image (or sample) with its labels; paths are relative to the dataset's top."""

    image: str
    source: str = ""
    """The file with the labels; empty if the folder is the label."""
    labels: list[Label] = []
    size: tuple[int, int] | None = None
    """Width and height in pixels, as the source declares them."""
    mask: str = ""
    """Path of the mask: an image of the same size with the class of each pixel."""
    places: list[int] = []
    """Index of each label in the source's list, from 0; empty if labels have lines."""
    further: list[str] = []
    """Paths of further images of the same sample: other lights, golden images, frames after the first."""


class Problem(msgspec.Struct, frozen=True):
    """One fault. `line` counts from 1; 0 means the whole file."""

    file: str
    line: int
    what: str
    expected: str


Found = Item | Problem


def is_shown(item: Item) -> bool:
    """Whether an item can be shown as a sample: it has an image, and all its names are UTF-8."""
    paths = (item.image, item.source, item.mask, *item.further, *(label.name for label in item.labels))
    return item.image != "" and all(is_text(path) for path in paths)


def shown(value: object) -> str:
    """An invalid value for a problem's text: quoted and shortened."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def text_of(top: Path, file: str) -> str | Problem:
    """A label file's text (UTF-8, without byte order mark), or the problem that prevents reading it."""
    try:
        with plain_file.binary(top / file) as opened:
            data = opened.read(MOST_TEXT + 1)
    except (OSError, ValueError) as error:
        return unreadable(file, error)
    if len(data) > MOST_TEXT:
        return Problem(file, 0, f"the file has more than {MOST_TEXT} bytes", "a text file of labels")
    return decoded(file, data)


def decoded(file: str, data: bytes) -> str | Problem:
    """The bytes as UTF-8 text."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return not_utf8(file, data, error)


def not_utf8(file: str, data: bytes, error: UnicodeDecodeError) -> Problem:
    line = data.count(b"\n", 0, error.start) + 1
    return Problem(file, line, f"the text is not UTF-8 at byte {error.start} ({error.reason})", "text saved as UTF-8")


def unreadable(file: str, error: Exception) -> Problem:
    reason = getattr(error, "strerror", None) or str(error)
    return Problem(file, 0, f"the file cannot be read: {reason}", "a file that the daemon's user may read")


def number(text: str) -> float | None:
    """The text as a finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def files(top: Path, folder: str, suffixes: frozenset[str] | None = None) -> Iterator[str]:
    """Files below a folder, sorted, as paths below `top`; files of operating systems are skipped.

    Links are followed; each folder is entered once.
    """
    entered: set[tuple[int, int]] = set()
    for where, inner, names in os.walk(top / folder, followlinks=True):
        status = os.stat(where)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in entered:
            inner.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        inner[:] = sorted(name for name in inner if not is_junk(name))
        prefix = os.path.relpath(where, top)
        for name in sorted(names):
            if is_junk(name) or (suffixes is not None and os.path.splitext(name)[1].lower() not in suffixes):  # noqa: PTH122
                continue
            yield name if prefix == "." else f"{prefix}/{name}"


def image_paths(top: Path, folder: str) -> Iterator[str]:
    """Images below a folder, sorted."""
    return files(top, folder, IMAGE_SUFFIXES)


def stem(path: str, folder: str) -> str:
    """A file's path below `folder` without its suffix: it pairs an image with its label."""
    return os.path.splitext(path.removeprefix(f"{folder}/"))[0]  # noqa: PTH122


def by_stem(top: Path, folder: str) -> tuple[dict[str, str], list[Problem]]:
    """The images below a folder by stem. Two images of one stem are a problem: they would share one label."""
    found: dict[str, str] = {}
    problems = []
    for path in image_paths(top, folder):
        key = stem(path, folder)
        if key in found:
            problems.append(Problem(path, 0, f"{found[key]} has the same name with another suffix", "one image a name"))
        else:
            found[key] = path
    return found, problems


def unpaired(images_left: dict[str, str], labels: str, suffix: str) -> Iterator[Problem]:
    """A problem for each image that has no label file."""
    for key in sorted(images_left):
        yield Problem(images_left[key], 0, "the image has no label file", f"{labels}/{key}{suffix}")
