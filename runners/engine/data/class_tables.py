"""`annotations convert` of classification sets: class folders into a table, and a table into class folders."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from runners.engine.data.check import write
from runners.engine.data.copy_images import IMAGES, place_file, place_images, required_setting
from runners.engine.errors import DataError
from taod.datasets.formats import tables
from taod.datasets.formats.types import Problem, image_paths

if TYPE_CHECKING:
    from runners.engine.data.convert import Settings

TABLE = "labels.csv"


def convert(settings: Settings, results: Path, report: Callable[[int, int], None]) -> str:
    """Convert as `data.input_format` says. Raises DataError."""
    folder = Path(required_setting(settings.classification.image_dir, "classification.image_dir"))
    if not folder.is_dir():
        raise DataError(f"classification.image_dir: there is no folder {folder}.")
    if settings.data.input_format.upper() == "CSV":
        return _into_folders(settings, folder, results, report)
    return _into_table(settings, folder, results, report)


def _into_table(settings: Settings, folder: Path, results: Path, report: Callable[[int, int], None]) -> str:
    """`labels.csv` with the columns fname and class, a row an image."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("fname", "class"))
    named = []
    for path in image_paths(folder, "."):
        name, inside, _ = path.partition("/")
        if inside:
            named.append(path)
            table.writerow((path, name))
    if not named:
        raise DataError(f"classification.image_dir: {folder} has no class folders with images.")
    write(results / TABLE, out.getvalue().encode())
    if settings.data.with_images:
        place_images(folder, results / IMAGES, {path: path for path in named}, report, link=settings.data.link_images)
    return f"Wrote {TABLE} with {len(named)} images of {len({path.partition('/')[0] for path in named})} classes"


def _into_folders(settings: Settings, folder: Path, results: Path, report: Callable[[int, int], None]) -> str:
    """A folder a class, and classes.txt."""
    table = Path(required_setting(settings.classification.csv_file, "classification.csv_file"))
    rows: list[tuple[str, str]] = []
    for row in tables.rows(table.parent, table.name, ("fname", "class")):
        if isinstance(row, Problem):
            raise DataError(f"{table}:{row.line}: {row.what}; expected {row.expected}.")
        line, cells = row
        name, kind = cells["fname"], cells["class"]
        if not kind or "/" in kind or kind.startswith(".") or "\0" in kind:
            raise DataError(f"{table}:{line}: class {kind!r} is not a folder name.")
        if ".." in name.split("/") or name.startswith("/") or not (folder / name).is_file():
            raise DataError(f"{table}:{line}: there is no image {name!r} in {folder}.")
        rows.append((name, kind))
    for done, (name, kind) in enumerate(rows):
        parts = name.split("/")
        inside = "/".join(parts[1:]) if len(parts) > 1 and parts[0] == kind else "_".join(parts)
        place = results / IMAGES / kind / inside
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place_file(folder / name, place, link=settings.data.link_images)
        report(done, len(rows))
    names = sorted({kind for _, kind in rows})
    write(results / "classes.txt", "".join(f"{name}\n" for name in names).encode())
    return f"Put {len(rows)} images into {len(names)} class folders"
