"""Reader of segmentation masks: beside each picture of a split a picture of the same name that holds class numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from taod.datasets.formats.found import Found, Item, Problem, by_stem, pictures

SPLITS = ("train", "val")


def read(top: Path, images: str = "images", masks: str = "masks") -> Iterator[Found]:
    """The items of images/{train,val} with their masks, and those of images/test, which need none."""
    for split in SPLITS:
        found, twice = by_stem(top, f"{images}/{split}")
        yield from twice
        painted, twice = by_stem(top, f"{masks}/{split}")
        yield from twice
        for key in sorted(found):
            mask = painted.pop(key, "")
            if not mask:
                yield Problem(found[key], 0, "the picture has no mask", f"{masks}/{split}/{key}.png")
            yield Item(found[key], mask, mask=mask)
        for key in sorted(painted):
            yield Problem(painted[key], 0, "there is no picture of this name", f"{images}/{split}/{key}.png or .jpg")
    for path in pictures(top, f"{images}/test"):
        yield Item(path)
