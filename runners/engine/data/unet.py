"""Masks of unet's layout: images of class numbers into segmentations, and segmentations into such images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from runners.engine.data import boxes, shapes
from runners.engine.data.check import write
from runners.engine.errors import DataError
from taod.datasets.formats import kitti, masks, segments
from taod.datasets.formats.coco import Category
from taod.datasets.formats.segments import Annotated, Segmentation, segmentation_of
from taod.datasets.formats.types import Item, Label, Problem

SPLITS = ("train", "val", "test")
IMAGES, MASKS = "images", "masks"
BACKGROUND_ID = 0

OnProgress = Callable[[int, int], None]


class Classes(msgspec.Struct, frozen=True):
    """Class numbers of masks."""

    background: int | None
    """What has no object's number."""
    names: dict[int, str]
    """Of all others that are known."""
    declared: dict[int, str] = {}
    """All names, as the dataset declares them."""

    def categories(self, seen: Iterable[int] = ()) -> list[Category]:
        """As COCO has them: ids are the numbers in the masks."""
        names = self.names | {number: masks.class_name(number, self.names) for number in set(seen) - set(self.names)}
        return [Category(number, names[number], names[number]) for number in sorted(names)]


def classes_of(top: Path) -> Classes:
    """The classes that a dataset declares. Raises DataError where the declaration is invalid."""
    found = masks.declared(top)
    if isinstance(found, Problem):
        raise DataError(f"{top / found.file}: {found.what}; expected {found.expected}.")
    background = masks.background(found)
    return Classes(background, {number: name for number, name in found.items() if number != background}, found)


def opened(top: Path, path: str) -> Image.Image | Problem:
    """A mask as an image of class numbers."""
    try:
        with Image.open(top / path) as image:
            found = masks.plain(image)
    except Exception as error:  # a damaged image fails in as many ways as there are formats
        return Problem(path, 0, f"the mask cannot be read: {error}", "a whole image")
    return Problem(path, 0, found, "grey or palette, of class numbers") if isinstance(found, str) else found


def traced(item: Item, top: Path, classes: Classes, *, regions: bool) -> Item | Problem:
    """The item with a label for each class in its mask, or for each connected region of one, as run lengths."""
    if not item.mask:
        return item
    mask = opened(top, item.mask)
    if isinstance(mask, Problem):
        return mask
    numbers = np.asarray(mask)
    labels: list[Label] = []
    for number, count in enumerate(mask.histogram()):
        if not count or number == classes.background:
            continue
        counts = shapes.runs(numbers == number)
        for part in shapes.parts(counts, mask.height) if regions else [counts]:
            found = Segmentation(counts=part, size=mask.size)
            name = masks.class_name(number, classes.names)
            labels.append(Annotated(name, segments.bounds(found), segmentation=found))
    return msgspec.structs.replace(item, labels=labels, size=mask.size)


def numbered(categories: Sequence[Category]) -> tuple[dict[str, int], int, bool]:
    """Class numbers by category, that of the background, and whether all are the categories' ids.

    They are where each fits into a byte beside the background's; else they count from 1 in the order of the ids.
    Raises DataError for more categories than a byte has numbers.
    """
    ordered = sorted(categories, key=lambda each: each.id)
    own = next((each for each in ordered if each.name.lower() == masks.BACKGROUND), None)
    rest = [each for each in ordered if each is not own]
    background = BACKGROUND_ID if own is None or not 0 <= own.id <= masks.MOST_NUMBER else own.id
    if all(0 <= each.id <= masks.MOST_NUMBER and each.id != background for each in rest):
        return {each.name: each.id for each in reversed(rest)}, background, own is None or own.id == background
    if len(rest) > masks.MOST_NUMBER:
        raise DataError(f"There are {len(rest)} categories, and a mask has room for {masks.MOST_NUMBER}; merge some.")
    return {each.name: number for number, each in enumerate(rest, 1)}, BACKGROUND_ID, False


class Painted(msgspec.Struct):
    """Counts of a dataset whose masks were written."""

    images: int = 0
    objects: int = 0
    bare: int = 0
    """Objects without a segmentation, which are in no mask."""


def placed(items: Sequence[Item], val_share: float) -> dict[str, str]:
    """The path of each image below images/: in its split's folder; without a split in train or, evenly, val."""
    places: dict[str, str] = {}
    loose = 0
    for item in items:
        if item.image.partition("/")[0] in SPLITS and "/" in item.image:
            places[item.image] = item.image
            continue
        is_val = int((loose + 1) * val_share + 0.5) > int(loose * val_share + 0.5)
        places[item.image] = f"{'val' if is_val else 'train'}/{item.image}"
        loose += 1
    return places


def write_masks(
    items: Sequence[Item],
    places: dict[str, str],
    into: Path,
    images: Path,
    numbers: dict[str, int],
    background: int,
    report: OnProgress,
) -> Painted:
    """A mask an image below `into`; images of test get one only where they have objects.

    Of objects that overlap the smaller lies in front. Raises DataError for images that cannot be read, or would
    have the same mask.
    """
    painted, seen = Painted(), set[Path]()
    for done, item in enumerate(items):
        report(done, len(items))
        painted.images += 1
        file = boxes.place(into / MASKS, places[item.image], ".png", seen)
        objects = [label for label in item.labels if kitti.is_object(label) and label.name in numbers]
        shown = [(found, numbers[label.name]) for label in objects if (found := segmentation_of(label)) is not None]
        painted.bare += len(objects) - len(shown)
        if places[item.image].startswith("test/") and not shown:
            continue
        mask = paint(shown, boxes.size_of(item, images), background)
        painted.objects += len(shown)
        file.parent.mkdir(parents=True, exist_ok=True)
        mask.save(file)
    return painted


def paint(shown: Sequence[tuple[Segmentation, int]], size: tuple[int, int], background: int) -> Image.Image:
    """A mask of mode L: objects with their class numbers, the larger ones first."""
    mask = Image.new("L", size, background)
    for found, number in sorted(shown, key=lambda each: -segments.area(each[0])):
        mask.paste(number, (0, 0), shapes.mask(found, size))
    return mask


def copy_layout(source: Path, results: Path) -> None:
    """The folders of a dataset in this layout, and the classes of another one."""
    _make_folders(results)
    if (source / masks.CLASSES).is_file():
        write(results / masks.CLASSES, (source / masks.CLASSES).read_bytes())


def _make_folders(results: Path) -> None:
    """Those that the layout asks for, also where nothing is in them."""
    for split in SPLITS:
        (results / IMAGES / split).mkdir(parents=True, exist_ok=True)
        if split != "test":
            (results / MASKS / split).mkdir(parents=True, exist_ok=True)


def write_layout(results: Path, numbers: dict[str, int], background: int) -> None:
    """The folders of a dataset in this layout, and its classes."""
    _make_folders(results)
    names = [(background, masks.BACKGROUND), *((number, name) for name, number in numbers.items())]
    listed = [masks.TargetClass(name, number, name) for number, name in sorted(names)]
    write(results / masks.CLASSES, msgspec.json.format(msgspec.json.encode(listed), indent=2))
