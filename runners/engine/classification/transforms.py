"""Steps of image pipelines in the MMClassification style, with Pillow: each takes an image and a random source."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from PIL import Image, ImageEnhance

Size = int | Sequence[int]


class Step(Protocol):
    def __call__(self, image: Image.Image, rng: Random) -> Image.Image: ...


def _pair(size: Size) -> tuple[int, int]:
    """(height, width); one number stands for a square."""
    sides = (size, size) if isinstance(size, int) else tuple(size) * (2 if len(size) == 1 else 1)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(f"size must be one or two positive integers, not {size!r}")
    return sides[0], sides[1]


def _resampling(name: str) -> Image.Resampling:
    known = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR}
    known |= {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS, "area": Image.Resampling.BOX}
    if name not in known:
        raise ValueError(f"interpolation must be one of {', '.join(known)}, not {name!r}")
    return known[name]


def _share(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], not {value!r}")
    return float(value)


def _window(image: Image.Image, top: int, left: int, height: int, width: int) -> Image.Image:
    """A part of the image; what lies outside of it is black."""
    return image.crop((left, top, left + width, top + height))


@dataclass
class RandomResizedCrop:
    """A window of random area and shape, resized to `size` (Szegedy et al. 2015, arXiv:1409.4842)."""

    size: Size
    scale: Sequence[float] = (0.08, 1.0)
    ratio: Sequence[float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        self.height, self.width = _pair(self.size)
        self.how = _resampling(self.interpolation)
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if not 0 < low <= high:
                raise ValueError(f"{name} must be two rising positive numbers, not {[low, high]}")

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        box = self._box(*image.size, rng)
        return image.resize((self.width, self.height), self.how, box=box)

    def _box(self, width: int, height: int, rng: Random) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = width * height * rng.uniform(*self.scale)
            shape = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if 0 < w <= width and 0 < h <= height:
                left, top = rng.randint(0, width - w), rng.randint(0, height - h)
                return left, top, left + w, top + h
        w, h = min(width, round(height * self.ratio[1])), min(height, round(width / self.ratio[0]))
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h


@dataclass
class RandomCrop:
    """A window of `size` at a random place, after `padding` black pixels were put on every side."""

    size: Size
    padding: int = 0

    def __post_init__(self) -> None:
        self.height, self.width = _pair(self.size)
        if not isinstance(self.padding, int) or self.padding < 0:
            raise ValueError(f"padding must be a number of pixels, not {self.padding!r}")

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        top = _offset(image.height, self.height, self.padding, rng)
        left = _offset(image.width, self.width, self.padding, rng)
        return _window(image, top, left, self.height, self.width)


def _offset(have: int, want: int, padding: int, rng: Random) -> int:
    spare = have + 2 * padding - want
    return rng.randint(0, spare) - padding if spare >= 0 else -((want - have) // 2)


@dataclass
class RandomFlip:
    """Mirrored with probability `flip_prob`; `direction` horizontal, vertical or diagonal (both)."""

    flip_prob: float = 0.5
    direction: str = "horizontal"

    def __post_init__(self) -> None:
        self.flip_prob = _share("flip_prob", self.flip_prob)
        turns = {"horizontal": Image.Transpose.FLIP_LEFT_RIGHT, "vertical": Image.Transpose.FLIP_TOP_BOTTOM}
        turns["diagonal"] = Image.Transpose.ROTATE_180
        if self.direction not in turns:
            raise ValueError(f"direction must be one of {', '.join(turns)}, not {self.direction!r}")
        self.turn = turns[self.direction]

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        return image.transpose(self.turn) if rng.random() < self.flip_prob else image


@dataclass
class RandomGrayscale:
    gray_prob: float = 0.1

    def __post_init__(self) -> None:
        self.gray_prob = _share("gray_prob", self.gray_prob)

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        return image.convert("L").convert("RGB") if rng.random() < self.gray_prob else image


@dataclass
class RandomRotation:
    """Turned by a random angle in [-degrees, degrees]; corners are black."""

    degrees: float

    def __post_init__(self) -> None:
        if not isinstance(self.degrees, (int, float)) or self.degrees < 0:
            raise ValueError(f"degrees must be a positive number, not {self.degrees!r}")

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        return image.rotate(rng.uniform(-self.degrees, self.degrees), Image.Resampling.BILINEAR)


@dataclass
class RandomErasing:
    """A random window blacked out (Zhong et al. 2020, arXiv:1708.04896)."""

    erase_prob: float = 0.5
    min_area_ratio: float = 0.02
    max_area_ratio: float = 0.4
    aspect_range: Sequence[float] = (3 / 10, 10 / 3)

    def __post_init__(self) -> None:
        self.erase_prob = _share("erase_prob", self.erase_prob)
        low, high = _share("min_area_ratio", self.min_area_ratio), _share("max_area_ratio", self.max_area_ratio)
        if low > high:
            raise ValueError("min_area_ratio must not be over max_area_ratio")

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        if rng.random() >= self.erase_prob:
            return image
        area = image.width * image.height * rng.uniform(self.min_area_ratio, self.max_area_ratio)
        shape = math.exp(rng.uniform(math.log(self.aspect_range[0]), math.log(self.aspect_range[1])))
        width = min(image.width, round(math.sqrt(area * shape)))
        height = min(image.height, round(math.sqrt(area / shape)))
        left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
        image = image.copy()
        image.paste((0, 0, 0), (left, top, left + width, top + height))
        return image


@dataclass
class ColorJitter:
    """Brightness, contrast and saturation times a random factor in [1 - v, 1 + v]; hue turned by up to `hue` of 1."""

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "hue"):
            _share(name, getattr(self, name))
        if self.hue > 0.5:
            raise ValueError(f"hue must lie in [0, 0.5], not {self.hue}")

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        kinds: list[tuple[float, Callable[[Image.Image], Any]]] = [
            (self.brightness, ImageEnhance.Brightness),
            (self.contrast, ImageEnhance.Contrast),
            (self.saturation, ImageEnhance.Color),
        ]
        rng.shuffle(kinds)
        for strength, kind in kinds:
            if strength:
                image = kind(image).enhance(rng.uniform(1 - strength, 1 + strength))
        if self.hue:
            turn = round(rng.uniform(-self.hue, self.hue) * 255) % 256
            hue, saturation, value = image.convert("HSV").split()
            image = Image.merge("HSV", (hue.point(lambda x: (x + turn) % 256), saturation, value)).convert("RGB")
        return image


@dataclass
class Resize:
    """To `size`: one number (or `[n, -1]`) is the shorter side, two are height and width."""

    size: Size
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        one = isinstance(self.size, int) or len(self.size) == 1 or (len(self.size) == 2 and self.size[1] == -1)
        first = self.size if isinstance(self.size, int) else self.size[0]
        self.side = _pair(first)[0] if one else None
        self.exact = None if one else _pair(self.size)
        self.how = _resampling(self.interpolation)

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        if self.exact is not None:
            height, width = self.exact
        else:
            assert self.side is not None
            factor = self.side / min(image.size)
            width, height = (max(1, round(side * factor)) for side in image.size)
        return image if image.size == (width, height) else image.resize((width, height), self.how)


@dataclass
class CenterCrop:
    """The middle window of `crop_size`; where the image is smaller, black is put around it."""

    crop_size: Size

    def __post_init__(self) -> None:
        self.height, self.width = _pair(self.crop_size)

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        top, left = (image.height - self.height) // 2, (image.width - self.width) // 2
        return _window(image, top, left, self.height, self.width)


@dataclass
class Pad:
    """Black on the right and below, up to `size`."""

    size: Size

    def __post_init__(self) -> None:
        self.height, self.width = _pair(self.size)

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        return _window(image, 0, 0, max(self.height, image.height), max(self.width, image.width))


@dataclass
class Normalize:
    """Not a step on an image: mean and standard deviation a channel, which the batch is normalised by.

    On the 0-255 scale; values that can only be meant on the 0-1 scale (every std at most 1) are brought to it.
    """

    mean: Sequence[float]
    std: Sequence[float]
    to_rgb: bool = True

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3 or not all(value > 0 for value in self.std):
            raise ValueError("mean and std must be three numbers each, std positive")
        scale = 255.0 if max(self.std) <= 1 else 1.0
        self.mean = [float(value) * scale for value in self.mean]
        self.std = [float(value) * scale for value in self.std]


STEPS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        RandomResizedCrop,
        RandomCrop,
        RandomFlip,
        RandomGrayscale,
        RandomRotation,
        RandomErasing,
        ColorJitter,
        Resize,
        CenterCrop,
        Pad,
        Normalize,
    )
}
