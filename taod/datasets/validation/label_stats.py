"""Label statistics of a summary: classes with their counts, and statistics of boxes and images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from taod import plain_file
from taod.datasets.formats import coco, kitti, masks, odvg, panoptic, quads, voc
from taod.datasets.formats.image import measure
from taod.datasets.formats.statistics import BoxStatistics
from taod.datasets.formats.types import Box, Found, Item, Label, Problem, files, text_of
from taod.datasets.validation.layouts import IMAGE_SUFFIXES
from taod.errors import BadRequest
from taod.types.dataset import BoxFigures, ImageFigures

MOST_JSON = 512 * 1024**2
"""Larger files are read only by the full check, since they are read whole into memory."""
MASKS = 50
"""Masks whose pixels are counted; the full check counts all."""
MASK_PIXELS = 100_000_000
"""Pixels after which no further mask is read."""
IGNORED = 255
"""A class number that the tools ignore."""
MEASURED = 200
"""Images whose size is measured; the full check measures all."""


class Labelled(NamedTuple):
    """Objects by class, and statistics of their boxes."""

    classes: dict[str, int]
    boxes: BoxFigures | None
    highest_class_id: int | None = None
    lowest_class_id: int | None = None


def of_coco(file: Path) -> Labelled | None:
    """Objects by category, in the file's order; None for a file that is too large.

    Raises BadRequest if it is not COCO JSON.
    """
    if file.stat().st_size > MOST_JSON:
        return None
    data = plain_file.read(file, MOST_JSON)
    try:
        document = msgspec.json.decode(data, type=_Coco)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        wrong = coco.malformed(data, file.name, error)
        place = f", line {wrong.line}" if wrong.line else ""
        raise BadRequest(f"{file.name}{place}: {wrong.what}; correct it and upload again") from None
    names = {category.id: category.name for category in document.categories}
    counts = dict.fromkeys(names.values(), 0)
    by_image: dict[int, list[Box]] = {}
    for annotation in document.annotations:
        name = names.get(annotation.category_id)
        if name is not None:
            counts[name] += 1
        if annotation.bbox is not None and len(annotation.bbox) == 4:
            left, top, width, height = annotation.bbox
            by_image.setdefault(annotation.image_id, []).append(Box(left, top, left + width, top + height))
    gathered = BoxStatistics()
    for boxes in by_image.values():
        gathered.boxes(boxes)
    ids = {*names, *(annotation.category_id for annotation in document.annotations)}
    highest = max(ids, default=-1)
    return Labelled(counts, gathered.of_boxes(), highest if highest >= 0 else None, min(ids, default=None))


class _Annotation(msgspec.Struct, gc=False):
    category_id: int
    image_id: int = 0
    bbox: list[float] | None = None


class _Coco(msgspec.Struct):
    categories: list[coco.Category] = []
    annotations: list[_Annotation] = []


def of_kitti(top: Path) -> Labelled:
    """Objects by class of the label files in labels/. Invalid lines are skipped; the full check reports them."""
    return _of_texts(top, ("labels",), "kitti")


def of_quads(top: Path) -> Labelled:
    """Statistics of ocdnet's ground truth."""
    return _of_texts(top, ("train/gt", "test/gt"), "quads")


class MaskClasses(NamedTuple):
    """Declared classes of masks, and each class's share of the pixels of at most `MASKS` masks, from 0 to 1."""

    classes: list[str]
    shares: dict[str, float]
    highest: int | None
    """The highest class number except 255, which tools ignore: of the declared classes, else of the masks' pixels."""


def of_masks(top: Path) -> MaskClasses:
    """Classes by number. Invalid masks are skipped; the full check reports them."""
    found = masks.declared(top)
    names = {} if isinstance(found, Problem) else found
    counts: Counter[int] = Counter()
    for path in evenly(
        [path for split in masks.SPLITS for path in files(top, f"masks/{split}", IMAGE_SUFFIXES)], MASKS
    ):
        counts.update(masks.inspect_mask(top, path, {}).pixels)
        if counts.total() > MASK_PIXELS:
            break
    whole = counts.total()
    shares = {masks.class_name(number, names): round(count / whole, 6) for number, count in sorted(counts.items())}
    return MaskClasses(
        [names[number] for number in sorted(names)], shares, max(names or counts.keys() - {IGNORED}, default=None)
    )


def _of_texts(top: Path, folders: tuple[str, ...], form: str) -> Labelled:
    parse = kitti.parse if form == "kitti" else quads.parse
    counts: Counter[str] = Counter()
    gathered = BoxStatistics()
    for folder in folders:
        for file in files(top, folder, frozenset({".txt"})):
            text = text_of(top, file)
            if not isinstance(text, Problem):
                _count(parse(text, file)[0], counts, gathered)
    return Labelled(dict(sorted(counts.items())), gathered.of_boxes())


def of_voc(top: Path) -> Labelled:
    """Objects by class of the annotations in labels/."""
    counts: Counter[str] = Counter()
    gathered = BoxStatistics()
    for file in files(top, "labels", frozenset({".xml"})):
        _count(voc.parse(plain_file.read(top / file), file)[0].labels, counts, gathered)
    return Labelled(dict(sorted(counts.items())), gathered.of_boxes())


def of_odvg(top: Path) -> Labelled:
    """Objects by name of the label map or phrase of a caption."""
    return _of_items(odvg.read(top))


def of_panoptic(top: Path) -> Labelled:
    """Segments by category."""
    return _of_items(panoptic.read(top, colours=False))


def _of_items(found: Iterable[Found]) -> Labelled:
    counts: Counter[str] = Counter()
    gathered = BoxStatistics()
    for item in found:
        if isinstance(item, Item):
            counts.update(label.name for label in item.labels)
            gathered.boxes([label.box for label in item.labels if label.box is not None])
    return Labelled(dict(sorted(counts.items())), gathered.of_boxes())


def _count(labels: list[Label], counts: Counter[str], gathered: BoxStatistics) -> None:
    objects = [label for label in labels if kitti.is_object(label)]
    counts.update(label.name for label in objects)
    gathered.boxes([label.box for label in objects if label.box is not None])


def sizes(top: Path, images: list[str]) -> ImageFigures | None:
    """Statistics of the sizes of at most `MEASURED` evenly chosen images. Unreadable images are skipped; the full check
    reports them."""
    gathered = BoxStatistics()
    for path in evenly(images, MEASURED):
        found = measure(top, path)
        if not isinstance(found, Problem):
            gathered.size(*found)
    return gathered.of_images()


def evenly(values: list[str], most: int) -> list[str]:
    """At most `most` of the values, evenly spread."""
    if len(values) <= most:
        return values
    edges = [len(values) * at // most for at in range(most + 1)]
    return [values[first] for first, _ in pairwise(edges)]
