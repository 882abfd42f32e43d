"""How labels follow their image: boxes, segmentations, and boxes computed from the segmentations of rotated objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from runners.engine.data import affine, shapes
from taod.datasets.formats import coco, segments
from taod.datasets.formats.segments import Annotated, Segmentation, segmentation_of
from taod.datasets.formats.types import Box, Item, Label, Problem

ALIKE = 0.5
"""Intersection over union from which on two boxes of a class are of one object."""


class Move(msgspec.Struct, frozen=True):
    """Where an image's points go."""

    matrix: affine.Matrix
    came: tuple[int, int]
    """Width and height before."""
    size: tuple[int, int]
    refine: bool = False
    """Compute the box from the segmentation, where there is one."""
    keep: bool = False
    """Move segmentations along, not boxes alone."""


def follow(label: Label, move: Move) -> Label | None:
    """The label in the moved image; None where too little of it is left."""
    if label.box is None:
        return None
    box = affine.move(label.box, move.matrix, *move.size)
    shape = segmentation_of(label)
    moved: Segmentation | None = None
    if shape is not None and (move.keep or move.refine):
        moved = shapes.move(shape, move.matrix, move.came, move.size)
        if moved is None:
            return None
        if move.refine:
            box = _within(segments.bounds(moved), move.size)
    if box is None:
        return None
    if not isinstance(label, Annotated):
        return Label(label.name, box)
    kept = moved if move.keep else None
    same = kept == shape and box == label.box
    return msgspec.structs.replace(label, box=box, segmentation=kept, area=label.area if same else None)


def _within(box: Box | None, size: tuple[int, int]) -> Box | None:
    """The box cut to the image; None where it is smaller than a kept box may be."""
    if box is None:
        return None
    cut = Box(max(box.left, 0.0), max(box.top, 0.0), min(box.right, float(size[0])), min(box.bottom, float(size[1])))
    return cut if cut.width >= affine.LEAST and cut.height >= affine.LEAST else None


def with_shapes(items: Iterable[Item], file: Path) -> tuple[list[Item], list[Problem]]:
    """The items, labels without a segmentation with that of their object in a COCO file, and what is wrong in it.

    Objects are found by image, class and box: the boxes that overlap most are of one object.
    """
    known, problems = _known(file)
    return [_completed(item, known.get(item.image) or known.get(Path(item.image).name, [])) for item in items], problems


def _known(file: Path) -> tuple[dict[str, list[Annotated]], list[Problem]]:
    """Objects with segmentations, by their image's name."""
    document, problems, _ = coco.load(file.parent, file.name)
    names = {category.id: category.name for category in document.categories}
    images = {image.id: image for image in document.images}
    found: dict[str, list[Annotated]] = defaultdict(list)
    for at, one in enumerate(document.annotations):
        name, image = names.get(one.category_id), images.get(one.image_id)
        if name is None or image is None:
            continue
        size = None if image.width is None or image.height is None else (image.width, image.height)
        shape = segments.parse(one.segmentation, size)
        if isinstance(shape, tuple):
            problems.append(Problem(file.name, 0, f"annotations[{at}]: {shape[0]}", shape[1]))
        elif shape is not None:
            box = segments.bounds(shape)
            if one.bbox is not None and len(one.bbox) == 4:
                left, top, width, height = one.bbox
                box = Box(left, top, left + width, top + height)
            found[image.file_name].append(Annotated(name, box, segmentation=shape))
    return found, problems


def _completed(item: Item, known: list[Annotated]) -> Item:
    pairs = sorted(
        (
            (-overlap(label.box, other.box), at, of)
            for at, label in enumerate(item.labels)
            for of, other in enumerate(known)
            if segmentation_of(label) is None and label.name == other.name and label.box and other.box
        ),
    )
    labels = list(item.labels)
    done: set[int] = set()
    taken: set[int] = set()
    for less, at, of in pairs:
        if -less >= ALIKE and at not in done and of not in taken:
            done.add(at)
            taken.add(of)
            label, shape = labels[at], known[of].segmentation
            whole = label if isinstance(label, Annotated) else Annotated(label.name, label.box, label.line)
            labels[at] = msgspec.structs.replace(whole, segmentation=shape)
    return msgspec.structs.replace(item, labels=labels)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, from 0 to 1."""
    across = min(one.right, other.right) - max(one.left, other.left)
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    if across <= 0 or down <= 0:
        return 0.0
    both = across * down
    return both / (one.width * one.height + other.width * other.height - both)
