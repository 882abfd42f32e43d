"""Reader of segmentation masks: each image has a mask, an image of the same name whose values are class numbers.

`target_classes.json` at the dataset's top may declare the class numbers, in the form of unet's
`dataset_config.data_class_config.target_classes`: `[{"name": "roof", "mapping_class": "roof", "label_id": 1}]`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from taod import plain_file
from taod.datasets.formats.image import MOST_PIXELS, describe_error
from taod.datasets.formats.types import Found, Item, Problem, by_stem, image_paths, shown

if TYPE_CHECKING:
    from PIL.Image import Image

SPLITS = ("train", "val")
CLASSES = "target_classes.json"
BACKGROUND = "background"
MOST_NUMBER = 255
_MOST_BYTES = 1024**2
_LISTED = 8
"""Classes that a problem lists."""
_LOSSY = frozenset({"JPEG", "JPEG2000"})
_NUMBERS = "a PNG of 8 bits, grey or with a palette, whose values are class numbers"
_FORM = "a list of {name, label_id}, each label_id from 0 to 255 and once, as target_classes in unet's specification"


class TargetClass(msgspec.Struct):
    """One class of masks."""

    name: str
    label_id: int
    mapping_class: str = ""


def read(top: Path, images: str = "images", masks: str = "masks") -> Iterator[Found]:
    """The items of images/{train,val} with their masks, and of images/test, which needs no masks."""
    known = declared(top)
    if isinstance(known, Problem):
        yield known
    for split in SPLITS:
        found, twice = by_stem(top, f"{images}/{split}")
        yield from twice
        painted, twice = by_stem(top, f"{masks}/{split}")
        yield from twice
        for key in sorted(found):
            mask = painted.pop(key, "")
            if not mask:
                yield Problem(found[key], 0, "the image has no mask", f"{masks}/{split}/{key}.png")
            yield Item(found[key], mask, mask=mask)
        for key in sorted(painted):
            yield Problem(painted[key], 0, "image not found", f"{images}/{split}/{key}.png or .jpg")
    painted, twice = by_stem(top, f"{masks}/test")
    yield from twice
    for path in image_paths(top, f"{images}/test"):
        mask = painted.get(path.removeprefix(f"{images}/test/").rpartition(".")[0], "")
        yield Item(path, mask, mask=mask)


def declared(top: Path) -> dict[int, str] | Problem:
    """Declared class names by number; empty without a declaration."""
    try:
        data = plain_file.read(top / CLASSES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        return Problem(CLASSES, 0, f"the file cannot be read: {error.strerror}", "a file that may be read")
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError(f"it has {len(data)} bytes")
        found = msgspec.json.decode(data, type=list[TargetClass])
    except (ValueError, RecursionError) as error:
        return Problem(CLASSES, 0, f"the classes are invalid: {error}", _FORM)
    names: dict[int, str] = {}
    for one in found:
        if not 0 <= one.label_id <= MOST_NUMBER or one.label_id in names:
            why = "is already used" if one.label_id in names else "is not a class number"
            return Problem(CLASSES, 0, f"label_id {one.label_id} of {shown(one.name)} {why}", _FORM)
        names[one.label_id] = one.name
    return names


def background(names: dict[int, str]) -> int | None:
    """The number of the background: that of the class `background`, else 0 if it has no other name; else None."""
    for number, name in names.items():
        if name.lower() == BACKGROUND:
            return number
    return None if 0 in names else 0


def class_name(number: int, names: dict[int, str]) -> str:
    """The name of a class; its number where it has no name."""
    return names.get(number, str(number))


class MaskContent(msgspec.Struct):
    """Content of one mask."""

    size: tuple[int, int] | None = None
    """Width and height; None if the mask cannot be read."""
    pixels: dict[int, int] = {}
    """Pixels by class number; empty if the values are not class numbers."""
    problems: list[Problem] = []


def inspect_mask(top: Path, path: str, names: dict[int, str]) -> MaskContent:
    """Decode a mask and count its class numbers. If `names` declares classes, others are a problem."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about large images, which are reported below
            with plain_file.binary(top / path) as file, Image.open(file) as opened:
                size = opened.size
                if size[0] * size[1] > MOST_PIXELS:
                    what = f"the mask has {size[0]} x {size[1]} pixels"
                    return MaskContent(problems=[Problem(path, 0, what, f"{MOST_PIXELS} at most")])
                if opened.format in _LOSSY:
                    what = f"the mask is a {opened.format}, whose compression changes class numbers"
                    return MaskContent(size, problems=[Problem(path, 0, what, _NUMBERS)])
                mask = plain(opened)
    except Exception as error:  # a damaged image fails in as many ways as there are formats
        what = f"the image cannot be read: {describe_error(top, path, error)}"
        return MaskContent(problems=[Problem(path, 0, what, "a whole image")])
    if isinstance(mask, str):
        return MaskContent(size, problems=[Problem(path, 0, mask, _NUMBERS)])
    pixels = {number: count for number, count in enumerate(mask.histogram()) if count}
    unknown = {number: count for number, count in pixels.items() if number not in names} if names else {}
    return MaskContent(size, pixels, [_unknown(path, unknown, names)] if unknown else [])


def plain(opened: Image) -> Image | str:
    """An opened mask as a one-channel image of class numbers, or its fault. Raises Pillow's errors."""
    from PIL import ImageChops

    if opened.mode in ("L", "P"):
        opened.load()
        return opened.copy()
    if opened.mode == "1":
        return opened.convert("L").point([0] + [1] * 255)
    if opened.mode in ("LA", "PA"):
        return opened.getchannel(0)
    if opened.mode not in ("RGB", "RGBA"):
        return f"the mask's pixels are of mode {opened.mode}"
    red, green, blue = opened.split()[:3]
    differing = ImageChops.lighter(ImageChops.difference(red, green), ImageChops.difference(red, blue))
    count = red.width * red.height - differing.histogram()[0]
    return f"the mask is in colours, {count} of its pixels are not grey" if count else red


def _unknown(path: str, pixels: dict[int, int], names: dict[int, str]) -> Problem:
    found = ", ".join(f"{number} ({count} pixels)" for number, count in list(pixels.items())[:_LISTED])
    known = ", ".join(f"{number} ({name})" for number, name in sorted(names.items())[:_LISTED])
    rest = len(names) - _LISTED
    more = f" and {len(pixels) - _LISTED} more" if len(pixels) > _LISTED else ""
    noun = "a class number" if len(pixels) == 1 else "class numbers"
    what = f"the mask has {noun} that {CLASSES} does not declare: {found}{more}"
    return Problem(path, 0, what, f"{known}{f' and {rest} more' if rest > 0 else ''}")
