"""Images beside masks of class numbers or colours, and augmentation that moves both alike. No torch but in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from PIL import Image, ImageEnhance

from runners.engine.core.images import first_names, images_below, read, required_folder
from runners.engine.errors import DataError, SpecError

IGNORED = 255
"""The class number of pixels that do not count."""
RESAMPLING = {
    "BILINEAR": Image.Resampling.BILINEAR,
    "NEAREST_NEIGHBOR": Image.Resampling.NEAREST,
    "BICUBIC": Image.Resampling.BICUBIC,
    "AREA": Image.Resampling.BOX,
}


class Entry(msgspec.Struct, frozen=True):
    """A class of the masks: the number or colour that its pixels have, and the class that it is trained as."""

    name: str
    trained_as: str
    value: int
    rgb: tuple[int, int, int] | None = None


class Palette(msgspec.Struct, frozen=True):
    """The classes of masks, in the order of their numbers."""

    entries: list[Entry]

    @property
    def classes(self) -> list[str]:
        """The classes that are trained, by number."""
        return list(dict.fromkeys(entry.trained_as for entry in self.entries))

    def colours(self) -> list[list[int]]:
        """A colour for each trained class: its own, else one of a fixed series."""
        own = {entry.trained_as: entry.rgb for entry in reversed(self.entries)}
        return [
            list(rgb) if rgb is not None else [37 * (index + 1) % 256, 97 * (index + 2) % 256, 173 * index % 256]
            for index, rgb in enumerate(own[name] for name in self.classes)
        ]

    def numbers(self, mask: Image.Image) -> np.ndarray:
        """The mask as trained class numbers, uint8 [height, width]. Raises ValueError for an unlisted value."""
        order = {name: index for index, name in enumerate(self.classes)}
        grey = mask.mode in ("L", "P", "I", "I;16", "1")
        if grey:
            values = np.asarray(mask.convert("L") if mask.mode == "1" else mask).astype(np.int64)
            table = {entry.value: order[entry.trained_as] for entry in self.entries}
            shades = {
                entry.rgb[0]: order[entry.trained_as]
                for entry in self.entries
                if entry.rgb is not None and len(set(entry.rgb)) == 1
            }
            if len(shades) == len(self.entries):
                there = set(np.unique(values).tolist())
                choices = [(one, extra) for extra in ((), (IGNORED,)) for one in (table, shades)]
                table = next((one for one, extra in choices if there <= {*one, *extra}), table)
        else:
            red, green, blue = np.asarray(mask.convert("RGB")).astype(np.int64).transpose(2, 0, 1)
            values = (red << 16) | (green << 8) | blue
            table = {
                (entry.rgb[0] << 16) | (entry.rgb[1] << 8) | entry.rgb[2]: order[entry.trained_as]
                for entry in self.entries
                if entry.rgb is not None
            }
        out = np.full(values.shape, IGNORED, dtype=np.uint8)
        left = values != IGNORED if grey and IGNORED not in table else np.ones(values.shape, dtype=bool)
        for value, number in table.items():
            here = values == value
            out[here] = number
            left &= ~here
        if left.any():
            unlisted = sorted(set(values[left].tolist()))[:3]
            raise ValueError(f"the mask has the values {unlisted}, which no class of the specification has")
        return out


def palette(entries: Sequence[Entry], field: str) -> Palette:
    """Raises SpecError for classes that exclude each other."""
    ordered = sorted(entries, key=lambda entry: entry.value)
    if len(entries) < 2:
        raise SpecError(f"{field} lists {len(entries)} class; segmentation needs at least two.")
    values = [entry.value for entry in ordered]
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise SpecError(f"{field} lists label_id {twice[0]} more than once.")
    found = Palette(list(ordered))
    if len(found.classes) > IGNORED:
        raise SpecError(f"{field} has {len(found.classes)} classes; the engine has at most {IGNORED}.")
    return found


class Augment(msgspec.Struct, frozen=True):
    """What is done to a training image and its mask; the defaults do nothing."""

    hflip: float = 0.0
    vflip: float = 0.0
    crop_and_resize: float = 0.0
    """Probability that a window is enlarged to the whole."""
    brightness: float = 0.0
    """Largest change, as a share."""
    scale: tuple[int, int] | None = None
    """(width, height) that an image is fitted into, times a factor out of `ratio`; then a window is cropped."""
    ratio: tuple[float, float] = (1.0, 1.0)
    most: float = 1.0
    """Largest share that one class may have of a cropped window; ten tries."""
    pad_value: int = 0
    pad_class: int = IGNORED


class Fit(msgspec.Struct, frozen=True):
    """How images come to the model's size."""

    height: int
    width: int
    channels: int = 3
    keep_ratio: bool = False
    """Padded at the right and below instead of stretched."""
    method: str = "BILINEAR"

    def inner(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of an image within the model's input."""
        if not self.keep_ratio:
            return self.width, self.height
        factor = min(self.width / width, self.height / height)
        return max(1, round(width * factor)), max(1, round(height * factor))


class Batch(NamedTuple):
    """`pixels` uint8 [n, height, width, channels]; `classes` int64 [n, height, width], IGNORED where unknown; for
    evaluation `whole` masks uint8 in their own sizes, and `sizes` (height, width) of the images."""

    pixels: torch.Tensor
    classes: torch.Tensor
    whole: list[np.ndarray]
    sizes: list[tuple[int, int]]


class Row(NamedTuple):
    pixels: np.ndarray
    classes: np.ndarray
    whole: np.ndarray
    size: tuple[int, int]


class Pairs(msgspec.Struct, frozen=True):
    """Images with their masks; without masks where `masks` is empty."""

    images: list[str]
    masks: list[str]
    palette: Palette
    fit: Fit
    augment: Augment | None = None

    def __len__(self) -> int:
        return len(self.images)

    def path(self, index: int) -> str:
        return self.images[index]

    def sample(self, index: int, rng: Random) -> Row:
        image = read(self.images[index])
        size = (image.height, image.width)
        if self.masks:
            with Image.open(self.masks[index]) as opened:
                mask = Image.fromarray(self.palette.numbers(opened))
            if mask.size != image.size:
                raise ValueError(f"its mask {self.masks[index]} is {mask.size}, the image {image.size}")
        else:
            mask = Image.new("L", image.size, IGNORED)
        whole = np.asarray(mask)
        if self.augment is not None:
            image, mask = augmented(image, mask, self.augment, self.fit, rng)
        image, mask = fitted(image, mask, self.fit)
        pixels = np.asarray(image.convert("L"))[..., None] if self.fit.channels == 1 else np.asarray(image)
        return Row(pixels, np.asarray(mask), whole if self.augment is None else whole[:0, :0], size)

    def collate(self, samples: list[Row]) -> Batch:
        return Batch(
            torch.from_numpy(np.stack([row.pixels for row in samples])),
            torch.from_numpy(np.stack([row.classes for row in samples]).astype(np.int64)),
            [row.whole for row in samples],
            [row.size for row in samples],
        )

    def digest(self) -> str:
        lines = [f"{image}\t{mask}" for image, mask in zip(self.images, self.masks or self.images, strict=True)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def fitted(image: Image.Image, mask: Image.Image, fit: Fit) -> tuple[Image.Image, Image.Image]:
    """Both at the model's size."""
    inner = fit.inner(image.width, image.height)
    if inner != image.size:
        image, mask = image.resize(inner, RESAMPLING[fit.method]), mask.resize(inner, Image.Resampling.NEAREST)
    if inner != (fit.width, fit.height):
        image, mask = _windowed(image, mask, (0, 0, fit.width, fit.height), 0, IGNORED)
    return image, mask


def augmented(
    image: Image.Image, mask: Image.Image, how: Augment, fit: Fit, rng: Random
) -> tuple[Image.Image, Image.Image]:
    for chance, turn in ((how.hflip, Image.Transpose.FLIP_LEFT_RIGHT), (how.vflip, Image.Transpose.FLIP_TOP_BOTTOM)):
        if chance and rng.random() < chance:
            image, mask = image.transpose(turn), mask.transpose(turn)
    if how.crop_and_resize and rng.random() < how.crop_and_resize:
        share = rng.uniform(0.6, 1.0)
        width, height = max(1, round(image.width * share)), max(1, round(image.height * share))
        left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
        box = (left, top, left + width, top + height)
        image, mask = image.crop(box), mask.crop(box)
    if how.brightness:
        image = ImageEnhance.Brightness(image).enhance(1 + rng.uniform(-how.brightness, how.brightness))
    if how.scale is not None:
        factor = min(how.scale[0] / image.width, how.scale[1] / image.height) * rng.uniform(*how.ratio)
        size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
        image, mask = image.resize(size, RESAMPLING[fit.method]), mask.resize(size, Image.Resampling.NEAREST)
        image, mask = _cropped(image, mask, how, fit, rng)
    return image, mask


def _cropped(
    image: Image.Image, mask: Image.Image, how: Augment, fit: Fit, rng: Random
) -> tuple[Image.Image, Image.Image]:
    """A window of the model's size at a random place, padded where the image is smaller."""
    spare_x, spare_y = max(0, image.width - fit.width), max(0, image.height - fit.height)
    box = (0, 0, fit.width, fit.height)
    for _ in range(10):
        left, top = rng.randint(0, spare_x), rng.randint(0, spare_y)
        box = (left, top, left + fit.width, top + fit.height)
        if how.most >= 1:
            break
        counts = np.bincount(np.asarray(mask.crop(box)).ravel(), minlength=IGNORED + 1)[:IGNORED]
        if np.count_nonzero(counts) > 1 and counts.max() < counts.sum() * how.most:
            break
    return _windowed(image, mask, box, how.pad_value, how.pad_class)


def _windowed(
    image: Image.Image, mask: Image.Image, box: tuple[int, int, int, int], value: int, number: int
) -> tuple[Image.Image, Image.Image]:
    size, place = (box[2] - box[0], box[3] - box[1]), (-box[0], -box[1])
    out, outer = Image.new("RGB", size, (value,) * 3), Image.new("L", size, number)
    out.paste(image, place)
    outer.paste(mask, place)
    return out, outer


def pairs(
    folders: Sequence[str],
    masks: Sequence[str],
    fields: tuple[str, str],
    colours: Palette,
    fit: Fit,
    *,
    lenient: bool = False,
) -> Pairs:
    """The images of folders, each with the mask of its name. Raises DataError for an image without a mask, which
    `lenient` leaves out."""
    if masks and len(masks) != len(folders):
        raise DataError(f"{fields[0]} has {len(folders)} folders and {fields[1]} {len(masks)}; they must be as many.")
    found: list[str] = []
    beside: list[str] = []
    for number, given in enumerate(folders):
        folder = required_folder(given, fields[0])
        names = images_below(folder)
        if not names:
            raise DataError(f"{fields[0]} {folder} has no images.")
        if masks:
            there = _masks(names, required_folder(masks[number], fields[1]))
            lacking = [name for name in names if name not in there]
            if lacking and not (lenient and there):
                where = f"{masks[number]} ({fields[1]})"
                raise DataError(
                    f"{where} has no mask for {first_names(lacking)}; masks have the names of their images."
                )
            names = [name for name in names if name in there]
            beside += [there[name] for name in names]
        found += [str(folder / name) for name in names]
    if not found:
        raise DataError(f"{fields[0]} is not set.")
    return Pairs(found, beside, colours, fit)


def _masks(names: list[str], masks: Path) -> dict[str, str]:
    """Image → its mask, for those that have one: the name without its suffix is the same."""
    there = {Path(name).with_suffix("").as_posix(): str(masks / name) for name in images_below(masks)}
    stems = {name: Path(name).with_suffix("").as_posix() for name in names}
    return {name: there[stem] for name, stem in stems.items() if stem in there}
