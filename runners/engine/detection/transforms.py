"""Augmentation that moves boxes along with the pixels (torchvision.transforms.v2), and the resize to a network's input.

Each transform takes an image (uint8 [3, height, width]) and boxes; random ones draw from torch's generator, which the
dataset seeds for each image of each epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from runners.engine.detection.settings import ColorAugmentation, SpatialAugmentation
from runners.engine.detection.torchvision_ops import tv_tensors, v2


class Boxed(NamedTuple):
    """An image uint8 [3, height, width] with boxes float32 [n, 4] in its pixels, and labels int64 [n]."""

    image: torch.Tensor
    boxes: torch.Tensor
    labels: torch.Tensor


Transform = Callable[[Boxed], Boxed]

SMALLEST = 1.0
"""Pixels of a side below which a box is dropped after a transform."""
VISIBLE = 0.2
"""Share of a box's area below which it is dropped when a crop cuts it."""


class Library:
    """A transform of torchvision.transforms.v2 on an image and its boxes."""

    def __init__(self, *transforms: nn.Module) -> None:
        self._transform = v2.Compose(transforms)

    def __call__(self, boxed: Boxed) -> Boxed:
        height, width = boxed.image.shape[-2:]
        boxes = tv_tensors.BoundingBoxes(boxed.boxes, format="XYXY", canvas_size=(height, width))
        found = self._transform({"image": tv_tensors.Image(boxed.image), "boxes": boxes, "labels": boxed.labels})
        image, moved = found["image"].as_subclass(torch.Tensor), found["boxes"].as_subclass(torch.Tensor)
        return Boxed(image, moved, found["labels"])


class Steps:
    """Transforms one after the other; boxes that get too small are dropped at the end."""

    def __init__(self, *steps: Transform) -> None:
        self._steps = steps

    def __call__(self, boxed: Boxed) -> Boxed:
        for step in self._steps:
            boxed = step(boxed)
        return sanitized(boxed)


def sanitized(boxed: Boxed, smallest: tuple[float, float] = (SMALLEST, SMALLEST)) -> Boxed:
    """Boxes clipped to the image, those that are then smaller (width, height) dropped."""
    height, width = boxed.image.shape[-2:]
    boxes = boxed.boxes.clone()
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
    kept = (boxes[:, 2] - boxes[:, 0] >= smallest[0]) & (boxes[:, 3] - boxes[:, 1] >= smallest[1])
    return Boxed(boxed.image, boxes[kept], boxed.labels[kept])


class Stretch:
    """To (height, width) without regard to the aspect."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width, self._size = height, width, [height, width]

    def __call__(self, boxed: Boxed) -> Boxed:
        height, width = boxed.image.shape[-2:]
        if [height, width] == self._size:
            return boxed
        image = v2.functional.resize(boxed.image, self._size, antialias=True)
        factors = boxed.boxes.new_tensor(self.factors(height, width)).repeat(2)
        return Boxed(image, boxed.boxes * factors, boxed.labels)

    def factors(self, height: int, width: int) -> tuple[float, float]:
        """Pixels across and down that a pixel of an image becomes."""
        return self._size[1] / width, self._size[0] / height


class Letterbox:
    """To (height, width) with the aspect kept: scaled to fit, then padded with `fill` on the right and below. With
    `shorter` the shorter side becomes no longer than that."""

    def __init__(self, height: int, width: int, fill: Sequence[int] = (0, 0, 0), *, shorter: int | None = None) -> None:
        self.height, self.width, self._fill, self._shorter = height, width, fill, shorter

    def __call__(self, boxed: Boxed) -> Boxed:
        height, width = boxed.image.shape[-2:]
        factor, _ = self.factors(height, width)
        inner = [max(1, round(height * factor)), max(1, round(width * factor))]
        image = v2.functional.resize(boxed.image, inner, antialias=True)
        return Boxed(placed(image, self.height, self.width, 0, 0, self._fill), boxed.boxes * factor, boxed.labels)

    def factors(self, height: int, width: int) -> tuple[float, float]:
        """Pixels across and down that a pixel of an image becomes."""
        factor = min(self.height / height, self.width / width)
        if self._shorter is not None:
            factor = min(factor, self._shorter / min(height, width))
        return factor, factor


def placed(
    image: torch.Tensor, height: int, width: int, top: int, left: int, fill: Sequence[int] = (0, 0, 0)
) -> torch.Tensor:
    """The image at (top, left) of a canvas of a colour; what lies outside is cut off, offsets may be negative."""
    canvas = torch.tensor(fill, dtype=image.dtype).view(3, 1, 1).expand(3, height, width).contiguous()
    rows = slice(max(0, top), min(height, top + image.shape[1]))
    columns = slice(max(0, left), min(width, left + image.shape[2]))
    if rows.start < rows.stop and columns.start < columns.stop:
        canvas[:, rows, columns] = image[
            :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
    return canvas


def cut(boxed: Boxed, image: torch.Tensor, boxes: torch.Tensor) -> Boxed:
    """After a crop: boxes that are still visible enough, clipped."""
    before = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
    height, width = image.shape[-2:]
    clipped = boxes.clone()
    clipped[:, 0::2] = clipped[:, 0::2].clamp(0, width)
    clipped[:, 1::2] = clipped[:, 1::2].clamp(0, height)
    after = (clipped[:, 2:] - clipped[:, :2]).clamp(min=0).prod(dim=1)
    kept = after > VISIBLE * before
    return Boxed(image, clipped[kept], boxed.labels[kept])


class CropJitter:
    """Each edge moved by up to `share` of its side, inwards or outwards; outside is `fill` (YOLO's jitter)."""

    def __init__(self, share: float, fill: Sequence[int] = (0, 0, 0)) -> None:
        self._share, self._fill = share, fill

    def __call__(self, boxed: Boxed) -> Boxed:
        height, width = boxed.image.shape[-2:]
        left, right = (round(uniform(-self._share, self._share) * width) for _ in range(2))
        top, bottom = (round(uniform(-self._share, self._share) * height) for _ in range(2))
        size = max(1, height - top - bottom), max(1, width - left - right)
        image = placed(boxed.image, *size, -top, -left, self._fill)
        return cut(boxed, image, boxed.boxes - boxed.boxes.new_tensor([left, top, left, top]))


class ScaleCrop:
    """The image at a random scale between the two, of that at which it fits into (height, width); then a random part
    of that size, or padded on the right and below where it is smaller (EfficientDet's jitter)."""

    def __init__(self, height: int, width: int, smallest: float, largest: float) -> None:
        self._height, self._width, self._scales = height, width, (smallest, max(smallest, largest))

    def __call__(self, boxed: Boxed) -> Boxed:
        height, width = boxed.image.shape[-2:]
        factor = min(self._height / height, self._width / width) * uniform(*self._scales)
        inner = [max(1, round(height * factor)), max(1, round(width * factor))]
        image = v2.functional.resize(boxed.image, inner, antialias=True)
        top, left = (
            round(uniform(0, max(0, side - own))) for side, own in zip(inner, (self._height, self._width), strict=True)
        )
        boxes = boxed.boxes * factor - boxed.boxes.new_tensor([left, top, left, top])
        return cut(boxed, placed(image, self._height, self._width, -top, -left), boxes)


class Colours:
    """Brightness shifted by up to `brightness` (0-255), contrast and saturation times 1 ± their values, the hue turned
    by up to `hue` (of 1); each at even chances."""

    def __init__(self, brightness: float, contrast: float, saturation: float, hue: float) -> None:
        self._brightness, self._contrast, self._saturation, self._hue = brightness, contrast, saturation, hue

    def __call__(self, boxed: Boxed) -> Boxed:
        image = boxed.image
        if self._brightness and uniform(0, 1) < 0.5:
            shift = uniform(-self._brightness, self._brightness)
            image = (image.float() + shift).clamp(0, 255).to(torch.uint8)
        if self._contrast and uniform(0, 1) < 0.5:
            image = v2.functional.adjust_contrast(image, uniform(1 - self._contrast, 1 + self._contrast))
        if self._saturation and uniform(0, 1) < 0.5:
            image = v2.functional.adjust_saturation(image, uniform(1 - self._saturation, 1 + self._saturation))
        if self._hue and uniform(0, 1) < 0.5:
            image = v2.functional.adjust_hue(image, uniform(-self._hue, self._hue))
        return boxed._replace(image=image)


class Warp:
    """Flips, and one random zoom, translation and rotation around the middle; outside is black. A turned box is the
    one around its corners."""

    def __init__(self, how: SpatialAugmentation) -> None:
        self._how, self._flip = how, flip(how.hflip_probability, how.vflip_probability)

    def __call__(self, boxed: Boxed) -> Boxed:
        how, boxed = self._how, self._flip(boxed)
        zoom = uniform(how.zoom_min, max(how.zoom_min, how.zoom_max))
        shift = [round(uniform(-most, most)) for most in (how.translate_max_x, how.translate_max_y)]
        turned = how.rotate_rad_max > 0 and uniform(0, 1) < how.rotate_probability
        angle = math.degrees(uniform(-how.rotate_rad_max, how.rotate_rad_max)) if turned else 0.0
        if zoom == 1 and not any(shift) and not angle:
            return boxed
        height, width = boxed.image.shape[-2:]
        values: dict[str, Any] = {"angle": angle, "translate": shift, "scale": zoom, "shear": [0.0, 0.0]}
        bilinear = v2.InterpolationMode.BILINEAR
        image = v2.functional.affine(boxed.image, interpolation=bilinear, **values)
        boxes = tv_tensors.BoundingBoxes(boxed.boxes, format="XYXY", canvas_size=(height, width), clamping_mode=None)
        moved = v2.functional.affine(boxes, **values).as_subclass(torch.Tensor)
        return cut(boxed, image, moved)


class Noise:
    """Each channel shifted by a normal value, then hue, saturation and contrast changed by up to their limits."""

    def __init__(self, how: ColorAugmentation) -> None:
        self._how = how
        self._colours = Colours(0.0, how.contrast_scale_max, how.saturation_shift_max, how.hue_rotation_max / 720)

    def __call__(self, boxed: Boxed) -> Boxed:
        if self._how.color_shift_stddev:
            shift = torch.randn(3, 1, 1) * self._how.color_shift_stddev * 255
            boxed = boxed._replace(image=(boxed.image.float() + shift).clamp(0, 255).to(torch.uint8))
        return self._colours(boxed)


def flip(horizontal: float, vertical: float = 0.0) -> Library:
    return Library(v2.RandomHorizontalFlip(horizontal), v2.RandomVerticalFlip(vertical))


def uniform(low: float, high: float) -> float:
    """A number from torch's generator."""
    return low + (high - low) * float(torch.rand(()))
