"""Reader of optical_inspection's table: each row has an object, its image folder, its golden image folder, a verdict.

The tool opens `images/<path>/<object_name>_<light>.jpg`, or `<object_name>.jpg` with only one light; `path` is not
normalised, so `images/board1` is the folder images/images/board1. All rows have the same lights: for the tool those of
the specification's `dataset.input_map`, here those of the first object with images. Release 5.0 reads only .jpg and
ignores `dataset.image_ext`.
"""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from taod.datasets.formats import tables
from taod.datasets.formats.types import Found, Item, Label, Problem, shown
from taod.datasets.names import is_junk
from taod.datasets.validation.layouts import IMAGE_SUFFIXES

TABLE = "dataset.csv"
COLUMNS = ("input_path", "golden_path", "label", "object_name")
PASS = "PASS"
"""The only verdict that is not a defect."""
HERE = "a folder below images/"
IMAGES = "images"
SUFFIX = ".jpg"
"""The only suffix that the tool appends; letter case matters."""

Images = dict[str, str]
"""Images of one object in one folder: light → path below the top; the light of `<object_name>.jpg` is empty."""


class _Row(NamedTuple):
    line: int
    cells: tables.Row


class _Naming(NamedTuple):
    """The lights of the first object with images, in order, and that object."""

    lights: tuple[str, ...]
    folder: str
    name: str


def read(top: Path) -> Iterator[Found]:
    """The rows of dataset.csv with the images of both sides."""
    rows: list[_Row] = []
    for row in tables.rows(top, TABLE, COLUMNS):
        if isinstance(row, Problem):
            yield row
            continue
        line, cells = row
        empty = [name for name in COLUMNS if not cells[name]]
        if empty:
            yield Problem(TABLE, line, f"{', '.join(empty)} is empty", "a value in each of the columns")
        else:
            rows.append(_Row(line, cells))
    boards = _Boards(top, {posixpath.basename(row.cells["object_name"]) for row in rows})
    seen: dict[tuple[str, str, str], tuple[str, int]] = {}
    naming: _Naming | None = None
    for line, cells in rows:
        verdict = cells["label"]
        if verdict != PASS and verdict.upper() == PASS:
            what = f"label {shown(verdict)} is a defect of that name, not {PASS}"
            yield Problem(TABLE, line, what, f"{PASS} in capitals, or what is wrong with the object")
        pair = (cells["input_path"], cells["golden_path"], cells["object_name"])
        before, there = seen.setdefault(pair, (verdict, line))
        if before != verdict:
            what = f"label {shown(verdict)} contradicts line {there}, which has {shown(before)} for the same images"
            yield Problem(TABLE, line, what, "one verdict for an object")
        sides: list[Images] = []
        for column in ("input_path", "golden_path"):
            images = boards.images(cells[column], cells["object_name"])
            if images is None:
                yield boards.absent(line, column, cells[column])
                continue
            if images and naming is None:
                naming = _Naming(tuple(sorted(images)), cells[column], cells["object_name"])
            yield from _compare(line, column, cells, images, naming)
            sides.append(images)
        first, *more = [path for side in sides for _, path in sorted(side.items())] or [""]
        yield Item(first, TABLE, [Label(verdict, line=line)], further=more)


def _compare(line: int, column: str, cells: tables.Row, images: Images, naming: _Naming | None) -> Iterator[Problem]:
    """Problems of one side of a row: its images must have the lights of the first object."""
    folder, name = cells[column], cells["object_name"]
    if not images:
        expected = [f"{name}_<light>.jpg for each light, or {name}.jpg"]
        if naming is not None:
            expected = [_file(name, light) for light in naming.lights]
        yield Problem(TABLE, line, f"{column} {shown(folder)} has no image of {shown(name)}", ", ".join(expected))
        return
    if naming is None:
        return
    as_first = f"as {naming.name} of {naming.folder} has"
    absent = [_file(name, light) for light in naming.lights if light not in images]
    if absent:
        yield Problem(
            TABLE, line, f"{column} {shown(folder)} lacks {', '.join(absent)}", f"the same lights, {as_first}"
        )
    for light, path in sorted(images.items()):
        suffix = os.path.splitext(path)[1]  # noqa: PTH122
        if light in naming.lights and suffix != SUFFIX:
            yield Problem(path, 0, f"the image ends in {suffix}", f"{SUFFIX}: the tool reads no other suffix")


def _file(name: str, light: str) -> str:
    return f"{name}_{light}{SUFFIX}" if light else f"{name}{SUFFIX}"


class _Boards:
    """Cached listings of the folders below images/, with the images of each object."""

    def __init__(self, top: Path, objects: set[str]) -> None:
        self._top = top
        self._objects = objects
        self._listed: dict[str, dict[str, Images] | None] = {}

    def images(self, folder: str, name: str) -> Images | None:
        """An object's images by light; None if the folder is missing. The name may contain folders, as for the tool."""
        place = posixpath.normpath(posixpath.join(IMAGES, folder, posixpath.dirname(name)))
        if place not in self._listed:
            self._listed[place] = self._list(place)
        found = self._listed[place]
        return None if found is None else found.get(posixpath.basename(name), {})

    def absent(self, line: int, column: str, folder: str) -> Problem:
        """The problem of a missing folder; if its path begins with `images/`, with the right path as expectation."""
        place = posixpath.normpath(posixpath.join(IMAGES, folder))
        inside = posixpath.relpath(place, IMAGES)
        if place.startswith("/") or inside.startswith(".."):
            return Problem(TABLE, line, f"{column} {shown(folder)} is not there", HERE)
        shorter = inside.removeprefix(f"{IMAGES}/")
        expected = HERE
        if shorter != inside and (self._top / IMAGES / shorter).is_dir():
            expected = f"{shown(shorter)}: the tool reads it as a path below images/"
        return Problem(TABLE, line, f"{column} {shown(folder)} is not there: there is no folder {place}", expected)

    def _list(self, place: str) -> dict[str, Images] | None:
        if place != IMAGES and not place.startswith(f"{IMAGES}/"):
            return None
        try:
            if not (self._top / place).is_dir():
                return None
            with os.scandir(self._top / place) as entries:
                names = sorted(entry.name for entry in entries if entry.is_file() and not is_junk(entry.name))
        except (OSError, ValueError):
            return None
        found: dict[str, Images] = defaultdict(dict)
        for file in names:
            stem, suffix = os.path.splitext(file)  # noqa: PTH122
            owner = self._owner(stem) if suffix.lower() in IMAGE_SUFFIXES else None
            if owner is not None:
                found[owner].setdefault(stem[len(owner) + 1 :], f"{place}/{file}")
        return dict(found)

    def _owner(self, stem: str) -> str | None:
        """The object that an image belongs to: the longest object name before the light."""
        name = stem
        while name not in self._objects:
            name, parted, _ = name.rpartition("_")
            if not parted:
                return None
        return name
