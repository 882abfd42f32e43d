"""Reader of COCO panoptic: each image has a PNG whose colours are segment numbers.

A segment's number is red + 256 * green + 65536 * blue; 0 is unlabelled. `file_name` of an image is a path below
images/, that of an annotation below images_panoptic/.

Source: Kirillov et al., Panoptic Segmentation (CVPR 2019), the data format's description.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from taod import plain_file
from taod.datasets.formats.types import Box, Found, Item, Label, Problem, image_paths, shown, text_of

FILE = "annotations_panoptic.json"
MASKS = "images_panoptic"
_MOST_SEGMENTS = 65536


class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str
    width: int
    height: int


class _Segment(msgspec.Struct, gc=False):
    id: int
    category_id: int
    bbox: tuple[float, float, float, float] | None = None


class _Annotation(msgspec.Struct):
    image_id: int
    file_name: str
    segments_info: list[_Segment]


class _Category(msgspec.Struct, gc=False):
    id: int
    name: str
    isthing: int


class _Document(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read(top: Path, *, colours: bool = True) -> Iterator[Found]:
    """The images that have an annotation. `colours`: also compare the segment PNGs with the annotations."""
    text = text_of(top, FILE)
    if isinstance(text, Problem):
        yield text
        return
    try:
        document = msgspec.json.decode(text, type=_Document)
    except (msgspec.MsgspecError, RecursionError) as error:
        expected = "images, annotations with segments_info, and categories with isthing, as COCO panoptic has them"
        yield Problem(FILE, 0, str(error), expected)
        return
    names: dict[int, str] = {}
    for category in document.categories:
        if category.id in names:
            yield Problem(FILE, 0, f"category id {category.id} is already used", "each id once")
        names[category.id] = category.name
    images, there = {}, set(image_paths(top, "images"))
    for image in document.images:
        if image.id in images:
            yield Problem(FILE, 0, f"image id {image.id} is already used", "each id once")
        images[image.id] = image
        if f"images/{image.file_name}" not in there:
            yield Problem(FILE, 0, f"image {shown(image.file_name)} not found", "a path below images/")
    annotated: set[int] = set()
    for index, annotation in enumerate(document.annotations):
        at, owner = f"annotations[{index}]", images.get(annotation.image_id)
        if owner is None:
            yield Problem(FILE, 0, f"{at}: image id {annotation.image_id} not found", "an id of images")
            continue
        if owner.id in annotated:
            yield Problem(FILE, 0, f"{at}: image {owner.id} has an annotation already", "one annotation an image")
        annotated.add(owner.id)
        if f"images/{owner.file_name}" in there:
            item, problems = _item(at, owner, annotation, names)
            yield from problems
            if colours:
                numbers = {segment.id for segment in annotation.segments_info}
                yield from _colours(top, f"{MASKS}/{annotation.file_name}", owner, numbers)
            yield item
    for image in document.images:
        if image.id not in annotated:
            yield Problem(FILE, 0, f"no annotation names image {image.id}", "one annotation an image")
    for path in sorted(there - {f"images/{image.file_name}" for image in document.images}):
        yield Problem(path, 0, f"{FILE} does not name the image", "an entry of images")


def _item(at: str, image: _Image, annotation: _Annotation, names: dict[int, str]) -> tuple[Item, list[Problem]]:
    labels, problems = [], []
    for segment in annotation.segments_info:
        name = names.get(segment.category_id)
        if name is None:
            what = f"{at}: segment {segment.id} is of category {segment.category_id}, which is not listed"
            problems.append(Problem(FILE, 0, what, "an id of categories"))
        left, upper, width, height = segment.bbox or (0.0, 0.0, 0.0, 0.0)
        box = Box(left, upper, left + width, upper + height) if segment.bbox is not None else None
        labels.append(Label(name or str(segment.category_id), box))
    return Item(f"images/{image.file_name}", FILE, labels, (image.width, image.height)), problems


def _colours(top: Path, path: str, image: _Image, numbers: set[int]) -> Iterator[Problem]:
    """Faults of a segment PNG: its size, numbers without a segment, segments without a pixel."""
    from PIL import Image as Pillow  # its import takes as long as the whole check of a small dataset

    try:
        with plain_file.binary(top / path) as file, Pillow.open(file) as opened:
            size, colours = opened.size, opened.convert("RGB").getcolors(_MOST_SEGMENTS)
    except (OSError, ValueError, Pillow.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or "it is not an image"
        yield Problem(path, 0, f"the file cannot be read: {reason}", "a PNG of segment numbers")
        return
    if size != (image.width, image.height):
        what = f"the image has {size[0]} x {size[1]} pixels"
        yield Problem(path, 0, what, f"{image.width} x {image.height}, as {FILE} says")
        return
    if colours is None:
        yield Problem(path, 0, f"there are more than {_MOST_SEGMENTS} numbers", "a number for each segment")
        return
    found = {colour[0] + 256 * colour[1] + 65536 * colour[2] for _, colour in colours if isinstance(colour, tuple)} - {
        0
    }
    for what, those in (("has no segment", found - numbers), ("has no pixel", numbers - found)):
        for number in sorted(those)[:1]:
            yield Problem(path, 0, f"number {number} {what}", f"the same numbers here and in {FILE}")
