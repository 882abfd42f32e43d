"""What an inference leaves: annotated images, KITTI labels, COCO results."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
from PIL import Image, ImageDraw
from pycocotools import mask as coco_masks

from runners.engine.data.boxes import class_name
from runners.engine.detection.metrics import Detections, Rle

MASKED = 110
"""How much of 255 a mask hides."""


def colours(count: int) -> list[tuple[int, int, int]]:
    """As many hues as there are classes, evenly spread."""
    found = (colorsys.hsv_to_rgb(number / max(1, count), 0.9, 0.95) for number in range(count))
    return [(round(red * 255), round(green * 255), round(blue * 255)) for red, green, blue in found]


def annotated(
    image: Image.Image,
    found: Detections,
    names: Sequence[str],
    palette: Sequence[tuple[int, int, int]] | None = None,
    line: int | None = None,
) -> Image.Image:
    """A copy of the image with each box in its class's colour, its class and score above it, and its mask over it;
    lines are `line` pixels wide."""
    image, palette = image.convert("RGB"), palette or colours(len(names))
    for mask, index in zip(found.masks, found.classes, strict=False):
        over = Image.fromarray(coco_masks.decode(mask) * MASKED)
        image.paste(palette[int(index)], mask=over)
    draw = ImageDraw.Draw(image)
    line = line or max(1, round(min(image.size) / 200))
    for box, score, index in zip(found.boxes, found.scores, found.classes, strict=True):
        left, top, right, bottom = map(float, box)
        colour = palette[int(index)]
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=line)
        draw.text((left + line, max(0.0, top - 11)), f"{names[int(index)]} {score:.2f}", fill=colour)
    return image


def kitti_lines(found: Detections, names: Sequence[str]) -> str:
    """A label file with the score as the 16th field."""
    return "".join(
        f"{class_name(names[int(index)])} 0.00 0 0.00 {' '.join(f'{float(edge):.3f}' for edge in box)} "
        f"0.00 0.00 0.00 0.00 0.00 0.00 0.00 {float(score):.6f}\n"
        for box, score, index in zip(found.boxes, found.scores, found.classes, strict=True)
    )


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """A detection as COCO's results have it: `bbox` is left, top, width, height; `segmentation` its mask."""

    image_id: int
    category_id: int
    bbox: list[float]
    score: float
    segmentation: Rle | None = None


def results(image_id: int, found: Detections, ids: Sequence[int]) -> list[Result]:
    """The detections of an image; `ids` are the category ids by class."""
    return [
        Result(
            image_id,
            ids[int(index)],
            [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])],
            float(score),
            found.masks[place] if found.masks else None,
        )
        for place, (box, score, index) in enumerate(zip(found.boxes, found.scores, found.classes, strict=True))
    ]


def write_results(path: Path, found: list[Result]) -> None:
    path.write_text(json.dumps(msgspec.to_builtins(found)), encoding="utf-8")
