"""`analytics validate`: finds boxes that are inverted, empty or outside their image, and writes corrected labels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from runners.engine.data import boxes
from runners.engine.data.analyze import Data, output, source
from runners.engine.data.check import write
from runners.engine.data.clean_labels import reboxed
from runners.engine.interrupt import Interrupt
from runners.engine.run import Run
from runners.engine.spec import convert
from runners.engine.status import Pace
from taod.datasets.formats import kitti
from taod.datasets.formats.coco import Category
from taod.datasets.formats.image import measure
from taod.datasets.formats.types import Box, Item, Label, Problem

Fault = Literal["inverted", "outside", "empty"]
STATUS_S = 1.0
LEAST = 1e-6
"""Pixels below which a side counts as none."""


class Settings(msgspec.Struct):
    data: Data = msgspec.field(default_factory=Data)
    apply_correction: bool = True


def correct(box: Box, size: tuple[int, int]) -> tuple[Box | None, set[Fault]]:
    """The box with its edges in order and within the image, and what was wrong; None where nothing is left."""
    faults: set[Fault] = set()
    left, right = box.left, box.right
    top, bottom = box.top, box.bottom
    if right < left or bottom < top:
        faults.add("inverted")
        left, right, top, bottom = min(left, right), max(left, right), min(top, bottom), max(top, bottom)
    if left < 0 or top < 0 or right > size[0] or bottom > size[1]:
        faults.add("outside")
        left, right = max(left, 0.0), min(right, float(size[0]))
        top, bottom = max(top, 0.0), min(bottom, float(size[1]))
    if right - left < LEAST or bottom - top < LEAST:
        faults.add("empty")
        return None, faults
    return Box(left, top, right, bottom), faults


def run(run: Run) -> str:
    """Validate what the spec names. Raises DataError, SpecError, Interrupted."""
    settings = convert(run.document, Settings)
    interrupt, pace = Interrupt().install(), Pace(STATUS_S)
    where = source(settings.data)
    items, problems = boxes.split_problems(where.read())
    boxes.require(items, problems)
    counts: dict[Fault, int] = {"inverted": 0, "outside": 0, "empty": 0}
    corrected: list[Item] = []
    for done, item in enumerate(items):
        interrupt.check()
        size = measure(where.images, item.image)
        if isinstance(size, Problem):
            problems.append(size)
            continue
        labels = _labels(item, size, counts, problems)
        corrected.append(msgspec.structs.replace(item, labels=labels, size=size))
        if pace.due():
            run.status.running(f"{done} of {len(items)} images", cur_iter=done, kpi={"progress": done / len(items)})
    folder = output(settings.data, run)
    listed = [msgspec.to_builtins(problem) for problem in problems]
    write(folder / "problems.json", msgspec.json.format(msgspec.json.encode(listed), indent=2))
    if settings.apply_correction:
        _save(where, corrected, folder, where.categories(items))
    wrong = sum(counts.values())
    run.status.running(
        "Validated", kpi={"images": len(items), "problems": len(problems)}, categorical={"boxes": counts}
    )
    written = "; corrected labels were written" if settings.apply_correction else ""
    return f"Validated {len(items)} images: {wrong} wrong boxes, {len(problems) - wrong} other problems{written}"


def _labels(item: Item, size: tuple[int, int], counts: dict[Fault, int], problems: list[Problem]) -> list[Label]:
    kept = []
    for label in item.labels:
        if label.box is None or not kitti.is_object(label):
            kept.append(label)  # a region to be left out may lie anywhere
            continue
        box, faults = correct(label.box, size)
        if faults:
            # An empty box is reported as empty only: cutting it to the image has made it so.
            fault: Fault = "empty" if box is None else "inverted" if "inverted" in faults else "outside"
            counts[fault] += 1
            edges = ", ".join(f"{edge:g}" for edge in label.box)
            problems.append(
                Problem(
                    item.source, label.line, f"the box ({edges}) is {fault}", f"within {size[0]} x {size[1]} pixels"
                )
            )
        if box is not None:
            kept.append(reboxed(label, box) if faults else label)
    return kept


def _save(where: boxes.Source, items: list[Item], folder: Path, categories: list[Category]) -> None:
    if where.format == "COCO":
        boxes.write_coco(items, folder / "annotations.json", where.images, categories)
    elif where.format == "KITTI":
        for item in items:
            _rewrite(where, item, folder / "labels")
    else:
        boxes.write_voc(items, folder / "labels", where.images)


def _rewrite(where: boxes.Source, item: Item, folder: Path) -> None:
    """The label file with the edges of its boxes corrected and everything else in it as it was."""
    lines = (where.labels.parent / item.source).read_text("utf-8-sig").split("\n")
    kept = []
    for label in item.labels:
        words = lines[label.line - 1].split()
        if label.box is not None:
            words[4:8] = map(boxes.decimal, label.box)
        kept.append(" ".join(words) + "\n")
    file = folder / item.source.removeprefix(f"{where.labels.name}/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(kept), encoding="utf-8")
