"""Reader of optical_inspection's table: a picture, its golden one, and whether they agree, a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from taod.datasets.formats import tables
from taod.datasets.formats.found import Found, Item, Label, Problem, shown

COLUMNS = ("input_path", "golden_path", "label", "object_name")


def read(top: Path) -> Iterator[Found]:
    """The rows of dataset.csv; both paths must be there below images/."""
    for row in tables.rows(top, "dataset.csv", COLUMNS):
        if isinstance(row, Problem):
            yield row
            continue
        line, cells = row
        empty = [name for name in COLUMNS if not cells[name]]
        if empty:
            yield Problem("dataset.csv", line, f"{', '.join(empty)} is empty", "a value in each of the columns")
            continue
        for name in ("input_path", "golden_path"):
            if not _there(top, cells[name]):
                yield Problem("dataset.csv", line, f"{name} {shown(cells[name])} is not there", "a path below images/")
        yield Item("", "dataset.csv", [Label(cells["label"], line=line)])


def _there(top: Path, name: str) -> bool:
    inside = name.removeprefix("images/").strip("/")
    try:
        return ".." not in inside.split("/") and (top / "images" / inside).exists()
    except (OSError, ValueError):
        return False
