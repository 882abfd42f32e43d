"""`annotations convert`: KITTI, COCO and Pascal VOC into each other; pictures by class folder into a table and back.

The results hold a whole data set: labels in the wanted format, and the pictures, unless `data.with_images` is false.
They are copies, which share their blocks where the file system can do that; with `data.link_images` they are further
names of the same files, which costs nothing and is for pictures that nobody changes in place.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from runners.engine.data import boxes, offer
from runners.engine.data.check import write
from runners.engine.errors import DataError
from runners.engine.interrupt import Interrupt
from runners.engine.run import Run
from runners.engine.spec import convert
from runners.engine.status import Pace
from taod.datasets.formats import tables
from taod.datasets.formats.found import Item, Problem, pictures

PICTURES, LABELS, ANNOTATIONS, TABLE = "images", "labels", "annotations.json", "labels.csv"
TOLD_S = 1.0
_FICLONE = 0x40049409


class _Data(msgspec.Struct):
    input_format: str = "COCO"
    output_format: str = "KITTI"
    with_images: bool = True
    link_images: bool = False


class _Labels(msgspec.Struct):
    image_dir: str | None = None
    label_dir: str | None = None


class _Coco(msgspec.Struct):
    ann_file: str | None = None
    image_dir: str | None = None


class _Classes(msgspec.Struct):
    image_dir: str | None = None
    csv_file: str | None = None


class Settings(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)
    kitti: _Labels = msgspec.field(default_factory=_Labels)
    pascal_voc: _Labels = msgspec.field(default_factory=_Labels)
    coco: _Coco = msgspec.field(default_factory=_Coco)
    classification: _Classes = msgspec.field(default_factory=_Classes)


def run(run: Run) -> str:
    """Convert as the spec says. Raises DataError, SpecError, Interrupted."""
    settings = convert(run.document, Settings)
    interrupt, pace = Interrupt().install(), Pace(TOLD_S)

    def told(done: int, total: int) -> None:
        interrupt.check()
        if pace.due():
            run.status.running(f"{done} of {total} pictures", cur_iter=done, kpi={"progress": done / max(total, 1)})

    given, wanted = settings.data.input_format.upper(), settings.data.output_format.upper()
    if given in offer.TABLES:
        return _classes(settings, given, run.results, told)
    source = _source(settings, given)
    items, problems = boxes.sorted_out(source.found())
    boxes.require(items, problems)
    _tell_problems(run, problems)
    count = _write(items, wanted, run.results, source.images)
    if settings.data.with_images:
        names = [item.picture for item in items]
        bring(source.images, run.results / PICTURES, names, told, link=settings.data.link_images)
    objects = sum(len(item.labels) for item in items)
    run.status.running("Converted", kpi={"pictures": count, "objects": objects, "problems": len(problems)})
    left = f"; {len(problems)} problems were passed over" if problems else ""
    return f"Converted {count} pictures with {objects} objects from {given} to {wanted}{left}"


def _source(settings: Settings, given: str) -> boxes.Source:
    if given == "COCO":
        file = Path(_needed(settings.coco.ann_file, "coco.ann_file"))
        images = Path(settings.coco.image_dir) if settings.coco.image_dir else file.parent / PICTURES
        return boxes.Source(given, images, file)
    # A VOC set is told to the tool in the place of a KITTI one, unless it has a group of its own.
    name = "pascal_voc" if given == "PASCAL_VOC" and settings.pascal_voc.label_dir else "kitti"
    group: _Labels = getattr(settings, name)
    images = Path(_needed(group.image_dir, f"{name}.image_dir"))
    return boxes.Source(given, images, Path(_needed(group.label_dir, f"{name}.label_dir")))


def _needed(value: str | None, name: str) -> str:
    if not value:
        raise DataError(f"{name}: it is not set; name the folder or file to read.")
    return value


def _write(items: list[Item], wanted: str, results: Path, images: Path) -> int:
    if wanted == "COCO":
        return boxes.write_coco(items, results / ANNOTATIONS, images)
    if wanted == "KITTI":
        return boxes.write_kitti(items, results / LABELS)
    return boxes.write_voc(items, results / LABELS, images)


def _tell_problems(run: Run, problems: list[Problem]) -> None:
    for problem in problems[: boxes.SHOWN]:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        run.status.running(f"{place}: {problem.what}; expected {problem.expected}")


def bring(source: Path, into: Path, names: Iterable[str], told: Callable[[int, int], None], *, link: bool) -> None:
    """Put pictures below `into`: copies, or further names of the same files where that can be."""
    names = list(dict.fromkeys(names))
    for done, picture in enumerate(names):
        place = into / picture
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        put(source / picture, place, link=link)
        told(done, len(names))


def put(source: Path, place: Path, *, link: bool) -> None:
    """One file at a new place; see the module's first lines."""
    if link:
        with contextlib.suppress(OSError):
            os.link(source, place)
            return
    with source.open("rb") as given, place.open("wb") as taken:
        try:
            fcntl.ioctl(taken, _FICLONE, given.fileno())
        except OSError:  # the file system cannot share blocks
            shutil.copyfileobj(given, taken, 1024 * 1024)


def _classes(settings: Settings, given: str, results: Path, told: Callable[[int, int], None]) -> str:
    folder = Path(_needed(settings.classification.image_dir, "classification.image_dir"))
    if not folder.is_dir():
        raise DataError(f"classification.image_dir: there is no folder {folder}.")
    if given == "CSV":
        return _into_folders(settings, folder, results, told)
    return _into_table(settings, folder, results, told)


def _into_table(settings: Settings, folder: Path, results: Path, told: Callable[[int, int], None]) -> str:
    """`labels.csv` with the columns fname and class, a row a picture."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("fname", "class"))
    named = []
    for path in pictures(folder, "."):
        name, inside, _ = path.partition("/")
        if inside:
            named.append(path)
            table.writerow((path, name))
    if not named:
        raise DataError(f"classification.image_dir: {folder} has no class folders with pictures.")
    write(results / TABLE, out.getvalue().encode())
    if settings.data.with_images:
        bring(folder, results / PICTURES, named, told, link=settings.data.link_images)
    return f"Wrote {TABLE} with {len(named)} pictures of {len({path.partition('/')[0] for path in named})} classes"


def _into_folders(settings: Settings, folder: Path, results: Path, told: Callable[[int, int], None]) -> str:
    """A folder a class, and classes.txt."""
    table = Path(_needed(settings.classification.csv_file, "classification.csv_file"))
    rows: list[tuple[str, str]] = []
    for row in tables.rows(table.parent, table.name, ("fname", "class")):
        if isinstance(row, Problem):
            raise DataError(f"{table}:{row.line}: {row.what}; expected {row.expected}.")
        line, cells = row
        name, kind = cells["fname"], cells["class"]
        if not kind or "/" in kind or kind.startswith(".") or "\0" in kind:
            raise DataError(f"{table}:{line}: class {kind!r} is no name of a folder.")
        if ".." in name.split("/") or name.startswith("/") or not (folder / name).is_file():
            raise DataError(f"{table}:{line}: there is no picture {name!r} in {folder}.")
        rows.append((name, kind))
    for done, (name, kind) in enumerate(rows):
        parts = name.split("/")
        inside = "/".join(parts[1:]) if len(parts) > 1 and parts[0] == kind else "_".join(parts)
        place = results / PICTURES / kind / inside
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        put(folder / name, place, link=settings.data.link_images)
        told(done, len(rows))
    names = sorted({kind for _, kind in rows})
    write(results / "classes.txt", "".join(f"{name}\n" for name in names).encode())
    return f"Put {len(rows)} pictures into {len(names)} class folders"
