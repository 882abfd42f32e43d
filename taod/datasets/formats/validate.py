"""The full check of a dataset: labels parse, boxes lie in their images, images can be read, pairs match."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from taod import plain_file
from taod.datasets.formats import coco, masks, reader
from taod.datasets.formats.image import measure
from taod.datasets.formats.statistics import BoxStatistics
from taod.datasets.formats.types import Item, Label, Problem, is_shown, shown
from taod.datasets.names import is_text, printable, raw
from taod.types.dataset import CheckState, DatasetProblem, DatasetReport

FIRST = 200
"""Problems that a report lists."""
FIRST_UNREADABLE = 5
MOST_CLASSES = 10_000
"""Class names that a report counts."""
EDGE = 1.0
"""Pixels that a box may extend over the image's edge: labels are rounded."""
TEXTS = frozenset({"character_recognition", "ocrnet"})
"""Types whose labels are texts, all of one class."""
IGNORED = frozenset({"dontcare"})
MASKS = ("semantic_segmentation", "unet")
"""Type and format whose labels are images of class numbers."""
SAMPLES = 24

OnItem = Callable[[int], None]
"""Called with each item's number; an exception ends the check."""


class ContentCheck:
    """A running check: counts and problems so far."""

    def __init__(self, top: Path, type_: str, format_: str, *, deep: bool = False) -> None:
        self.items = 0
        self.labels = 0
        self.problems = 0
        self.first: list[Problem] = []
        self.classes: Counter[str] = Counter()
        self.samples: list[Item] = []
        """A uniform random sample of the items."""
        self.unreadable = 0
        self.unreadable_first: list[str] = []
        self.pixels: Counter[str] = Counter()
        """Pixels of each class in masks."""
        self._places: dict[int, int] = {}
        """Index in `first` of a problem without a line → index in the file's list of annotations."""
        self._figures = BoxStatistics()
        known = masks.declared(top) if (type_, format_) == MASKS else {}
        self._names = {} if isinstance(known, Problem) else known
        self._top = top
        self._kind = (type_, format_)
        self._deep = deep
        self._random = random.Random(0)
        self._sizes: dict[str, tuple[int, int] | None] = {}

    def run(self, on_item: OnItem | None = None) -> DatasetReport:
        """Read everything and return the report. Raises only what `on_item` raises."""
        for found in reader(*self._kind)(self._top):
            if isinstance(found, Problem):
                self._record(found)
            else:
                self._item(found)
            if on_item is not None:
                on_item(self.items)
        self._find_lines()
        return self.report()

    def report(self) -> DatasetReport:
        return DatasetReport(
            state=CheckState.DONE,
            message=self._message(),
            items=self.items,
            labels=self.labels,
            classes=dict(sorted(self.classes.items())),
            problems=self.problems,
            first=[DatasetProblem(each.file, each.line, each.what, each.expected) for each in self.first],
            deep=self._deep,
            progress=1.0,
            boxes=self._figures.of_boxes(),
            sizes=self._figures.of_images(),
            unreadable=self.unreadable,
            unreadable_first=self.unreadable_first,
            pixels=dict(sorted(self.pixels.items())),
        )

    def _message(self) -> str:
        checked = f"Checked {self.items} items with {self.labels} labels"
        if not self.problems:
            return f"{checked}: nothing is wrong"
        return f"{checked}: {self.problems} {'problem' if self.problems == 1 else 'problems'}"

    def _record(self, problem: Problem, place: int | None = None) -> None:
        self.problems += 1
        if len(self.first) < FIRST:
            if place is not None:
                self._places[len(self.first)] = place
            if not is_text(f"{problem.file}{problem.what}{problem.expected}"):
                problem = Problem(
                    printable(problem.file), problem.line, printable(problem.what), printable(problem.expected)
                )
            self.first.append(problem)

    def _find_lines(self) -> None:
        """Set the lines of problems known by their index in a COCO file, which is read again for that."""
        files = {self.first[at].file for at in self._places}
        for file in files:
            try:
                lines = coco.Lines(plain_file.read(self._top / file, coco.MOST_BYTES), file)
            except OSError:
                continue
            for at, place in sorted(self._places.items(), key=lambda found: found[1]):
                if self.first[at].file == file:
                    line = lines.line_of("annotations", place)
                    self.first[at] = msgspec.structs.replace(self.first[at], line=line)

    def _item(self, item: Item) -> None:
        self.items += 1
        self.labels += len(item.labels)
        self._sample(item)
        for label in item.labels:
            name = "text" if self._kind[0] in TEXTS else label.name if is_text(label.name) else printable(label.name)
            if name.lower() not in IGNORED and (name in self.classes or len(self.classes) < MOST_CLASSES):
                self.classes[name] += 1
        self._figures.boxes([label.box for label in item.labels if label.box and label.name.lower() not in IGNORED])
        size = self._measure(item.image) if item.image else None
        if size is not None and item.size is not None and size != item.size:
            what = f"the image has {size[0]} x {size[1]} pixels"
            self._record(Problem(item.image, 0, what, f"{item.size[0]} x {item.size[1]}, as {item.source} says"))
        for at, label in enumerate(item.labels):
            if label.box is not None:
                self._box(item, label, size or item.size, item.places[at] if item.places else None)
        if item.mask:
            self._mask(item, size)
        for path in item.further:
            self._measure(path)

    def _sample(self, item: Item) -> None:
        """Reservoir sampling: item n replaces a sample with probability SAMPLES / n (Vitter 1985, algorithm R)."""
        if not item.image:
            return
        place = len(self.samples) if len(self.samples) < SAMPLES else self._random.randrange(self.items)
        if place < SAMPLES and is_shown(item):
            self.samples[place : place + 1] = [item]

    def _measure(self, path: str) -> tuple[int, int] | None:
        if path in self._sizes:
            return self._sizes[path]
        if not is_text(path):
            self._record(Problem(raw(path), 0, "the name is not UTF-8", "a name in UTF-8: rename the file"))
        found = measure(self._top, path, deep=self._deep)
        if isinstance(found, Problem):
            self._record(found)
            self.unreadable += 1
            self.unreadable_first += [printable(path)] * (len(self.unreadable_first) < FIRST_UNREADABLE)
            self._sizes[path] = None
            return None
        self._sizes[path] = found
        self._figures.size(*found)
        return found

    def _box(self, item: Item, label: Label, size: tuple[int, int] | None, place: int | None) -> None:
        left, top, right, bottom = label.box or (0.0, 0.0, 0.0, 0.0)
        edges = f"({left:g}, {top:g}, {right:g}, {bottom:g})"
        where = "" if place is None else f"annotations[{place}]: "
        what = f"{where}the box {edges} of {shown(label.name)}"
        if fault := _corner_fault(left, top, right, bottom):
            if label.name.lower() not in IGNORED:
                expected = "right > left and bottom > top" if place is None else "width > 0 and height > 0"
                self._record(Problem(item.source, label.line, f"{what} {fault}", expected), place)
        elif size is not None and (left < -EDGE or top < -EDGE or right > size[0] + EDGE or bottom > size[1] + EDGE):
            where = f" in {item.image}" if item.image else ""
            expected = f"within {size[0]} x {size[1]} pixels{where}"
            self._record(Problem(item.source, label.line, f"{what} leaves the image", expected), place)

    def _mask(self, item: Item, size: tuple[int, int] | None) -> None:
        """Count each class with pixels in the mask as a label."""
        found = masks.inspect_mask(self._top, item.mask, self._names)
        for problem in found.problems:
            self._record(problem)
        if found.size is not None and size is not None and found.size != size:
            what = f"the mask has {found.size[0]} x {found.size[1]} pixels"
            self._record(Problem(item.mask, 0, what, f"{size[0]} x {size[1]}, as {item.image} has"))
        for number, count in found.pixels.items():
            name = masks.class_name(number, self._names)
            self.labels += 1
            self.classes[name] += 1
            self.pixels[name] += count


def _corner_fault(left: float, top: float, right: float, bottom: float) -> str:
    """The fault in the order of a box's corners; empty if the box has an area."""
    swapped = [f"left {left:g} > right {right:g}"] * (right < left) + [f"top {top:g} > bottom {bottom:g}"] * (
        bottom < top
    )
    if swapped:
        return f"has swapped corners: {', '.join(swapped)}"
    equal = ["left = right"] * (right == left) + ["top = bottom"] * (bottom == top)
    return f"is empty: {', '.join(equal)}" if equal else ""
