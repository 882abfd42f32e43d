"""Labels as NVIDIA's conversion keeps them: boxes clipped to their image, empty boxes and duplicates dropped. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from taod.datasets.formats import kitti
from taod.datasets.formats.image import measure
from taod.datasets.formats.segments import Annotated, segmentation_of
from taod.datasets.formats.types import Box, Item, Label, Problem


class CleanedLabels(msgspec.Struct):
    """Boxes that were changed or dropped."""

    clipped: int = 0
    empty: int = 0
    """Swapped corners, no area, or wholly outside of the image."""
    duplicates: int = 0

    def message(self) -> str:
        """What was done, in words; empty where nothing was."""
        done = {
            "clipped to their image": self.clipped,
            "dropped as empty": self.empty,
            "dropped as duplicates": self.duplicates,
        }
        said = ", ".join(f"{count} {what}" for what, count in done.items() if count)
        return f"Boxes: {said}" if said else ""

    def kpi(self) -> dict[str, int]:
        return {"boxes_clipped": self.clipped, "boxes_empty": self.empty, "boxes_duplicate": self.duplicates}


def clean_items(items: Iterable[Item], images: Path) -> tuple[list[Item], CleanedLabels, list[Problem]]:
    """The items with tidy labels, what became of them, and the images that cannot be read, whose items are left out."""
    kept: list[Item] = []
    tidied = CleanedLabels()
    problems: list[Problem] = []
    for item in items:
        size = item.size or measure(images, item.image)
        if isinstance(size, Problem):
            problems.append(size)
            continue
        kept.append(msgspec.structs.replace(item, labels=list(_labels(item.labels, size, tidied)), size=size))
    return kept, tidied, problems


def _labels(labels: list[Label], size: tuple[int, int], tidied: CleanedLabels) -> Iterator[Label]:
    seen = set()
    for label in labels:
        key = (label.name, label.box, segmentation_of(label), isinstance(label, Annotated) and label.crowd)
        if label.box is not None and key in seen:
            tidied.duplicates += 1
            continue
        seen.add(key)
        if label.box is None or not kitti.is_object(label):
            yield label  # a region to be ignored may lie anywhere
            continue
        box = clip(label.box, size)
        if box is None:
            tidied.empty += 1
        elif box == label.box:
            yield label
        else:
            tidied.clipped += 1
            yield reboxed(label, box)


def clip(box: Box, size: tuple[int, int]) -> Box | None:
    """The part of a box inside an image of that width and height; None where it has no area."""
    cut = Box(
        min(max(box.left, 0.0), size[0]),
        min(max(box.top, 0.0), size[1]),
        min(max(box.right, 0.0), size[0]),
        min(max(box.bottom, 0.0), size[1]),
    )
    return cut if cut.right > cut.left and cut.bottom > cut.top else None


def reboxed(label: Label, box: Box) -> Label:
    """The label with another box; an area that was the old box's is left out."""
    if isinstance(label, Annotated) and label.segmentation is None:
        return msgspec.structs.replace(label, box=box, area=None)
    return msgspec.structs.replace(label, box=box)
