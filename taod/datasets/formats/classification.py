"""Readers of classification datasets: class folders, classes.txt, and the tables of multi-task datasets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from taod.datasets.formats import tables
from taod.datasets.formats.types import Found, Item, Label, Problem, image_paths, shown, text_of
from taod.datasets.names import is_junk

UNLABELLED = "images_test"
"""Images for inference, without classes."""
FILE_COLUMNS = ("fname", "image", "path", "filename", "file")
"""Names of the column with the image's file name; if a table has none of them, its first column."""


def image_folders(top: Path) -> list[str]:
    """The `images*` folders at the top, sorted."""
    with os.scandir(top) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name.startswith("images") and not is_junk(entry.name) and entry.is_dir()
        )


def class_names(top: Path) -> tuple[list[str], list[Problem]]:
    """The names of classes.txt, in its order."""
    text = text_of(top, "classes.txt")
    if isinstance(text, Problem):
        return [], [text]
    names: list[str] = []
    problems = []
    for line, name in enumerate(text.splitlines(), 1):
        name = name.strip()
        if name in names:
            problems.append(Problem("classes.txt", line, f"class {shown(name)} is already used", "one line a class"))
        elif name:
            names.append(name)
    return names, problems


def read_folders(top: Path) -> Iterator[Found]:
    """Images by class folder; with a classes.txt, a folder that it does not name is a problem."""
    known: set[str] | None = None
    if (top / "classes.txt").is_file():
        names, problems = class_names(top)
        yield from problems
        known = set(names)
    for folder in image_folders(top):
        counts: dict[str, int] = {}
        for path in image_paths(top, folder):
            name, inside, _ = path.removeprefix(f"{folder}/").partition("/")
            if folder == UNLABELLED or not inside:
                if folder != UNLABELLED:
                    yield Problem(path, 0, "the image lies in no class folder", f"{folder}/<class>/<image>")
                yield Item(path)
                continue
            if known is not None and name not in known and name not in counts:
                yield Problem(f"{folder}/{name}", 0, "classes.txt does not name this class", "a line with its name")
            counts[name] = counts.get(name, 0) + 1
            yield Item(path, labels=[Label(name)])
        yield from _hollow(top, folder, counts)


def _hollow(top: Path, folder: str, counts: dict[str, int]) -> Iterator[Problem]:
    if folder == UNLABELLED:
        return
    with os.scandir(top / folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not is_junk(entry.name))
    for name in names:
        if name not in counts:
            yield Problem(f"{folder}/{name}", 0, "the class folder has no images", "at least one image of the class")


def read_tables(top: Path) -> Iterator[Found]:
    """Images that train.csv and val.csv name; every other column is a task, its cells are classes `task=value`."""
    for table, folders in (("train.csv", ("images_train", "images")), ("val.csv", ("images_val", "images"))):
        folder = next((name for name in folders if (top / name).is_dir()), None)
        if not (top / table).is_file():
            continue
        yield from _table(top, table, folder)


def _table(top: Path, table: str, folder: str | None) -> Iterator[Found]:
    named: set[str] = set()
    rows = 0
    for row in tables.rows(top, table):
        if isinstance(row, Problem):
            yield row
            continue
        rows += 1
        line, cells = row
        column = next((name for name in FILE_COLUMNS if name in cells), next(iter(cells)))
        name = cells.pop(column)
        empty = [task for task, value in cells.items() if not value]
        if empty:
            yield Problem(table, line, f"{', '.join(empty)} is empty", "a class for each task")
        path = _existing(top, folder, name)
        if path is None and folder is not None:
            yield Problem(table, line, f"image {shown(name)} not found", f"an image of this name in {folder}/")
        if path is not None and path in named:
            yield Problem(table, line, f"{shown(name)} is already used", "one row an image")
        named.add(path or name)
        yield Item(path or "", table, [Label(f"{task}={value}", line=line) for task, value in cells.items() if value])
    if folder is not None:
        for path in image_paths(top, folder):
            if not rows:
                yield Item(path)  # the unreadable table is already a problem
            elif path not in named:
                yield Problem(path, 0, f"{table} does not name the image", "a row with its name")


def _existing(top: Path, folder: str | None, name: str) -> str | None:
    if folder is None or not name:
        return None
    path = os.path.normpath(f"{folder}/{name}")
    try:
        return path if path.startswith(f"{folder}/") and (top / path).is_file() else None
    except (OSError, ValueError):
        return None


def read_flat(top: Path) -> Iterator[Found]:
    """Images without labels, in any images* folder."""
    for folder in image_folders(top):
        for path in image_paths(top, folder):
            yield Item(path)
