"""A detection dataset that is quick to learn and not trivial: shapes of three classes and several scales on noise, some
of them in part behind others, some images empty. The classes differ in shape and, mostly, in colour."""

from __future__ import annotations

import json
import math
import tarfile
from pathlib import Path

SIDE = 64
CLASSES = ("circle", "square", "triangle")
_COLOURS = {"circle": (220, 70, 60), "square": (60, 190, 80), "triangle": (70, 90, 230)}


def write(folder: Path, count: int, seed: int) -> Path:
    """`images/`, KITTI `labels/` and COCO `annotations.json`, the same objects in both; returns the folder."""
    import numpy as np
    from PIL import Image, ImageDraw

    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    images, annotations = [], []
    for number in range(1, count + 1):
        image = Image.fromarray(random.integers(60, 140, (SIDE, SIDE, 3), dtype=np.uint8))
        draw, lines = ImageDraw.Draw(image), []
        for _ in range(int(random.integers(1, 4)) if number % 8 else 0):
            name = str(random.choice(CLASSES))
            width, height = random.choice([12, 16, 22, 30]) * random.uniform(0.85, 1.2, 2)
            left, top = random.uniform(0, SIDE - width), random.uniform(0, SIDE - height)
            box = (left, top, left + width, top + height)
            colour = tuple(int(value + random.integers(-40, 40)) for value in _COLOURS[name])
            if name == "circle":
                draw.ellipse(box, fill=colour)
            elif name == "square":
                draw.rectangle(box, fill=colour)
            else:
                draw.polygon([(left + width / 2, top), (box[2], box[3]), (left, box[3])], fill=colour)
            lines.append(f"{name} 0 0 0 {' '.join(f'{edge:.2f}' for edge in box)} 0 0 0 0 0 0 0\n")
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": CLASSES.index(name) + 1,
                    "bbox": [float(left), float(top), float(width), float(height)],
                    "area": float(width * height) * {"circle": math.pi / 4, "square": 1.0, "triangle": 0.5}[name],
                    "iscrowd": 0,
                    "segmentation": [_outline(name, box)],
                }
            )
        image.save(folder / "images" / f"{number:04d}.png")
        (folder / "labels" / f"{number:04d}.txt").write_text("".join(lines))
        images.append({"id": number, "file_name": f"{number:04d}.png", "width": SIDE, "height": SIDE})
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


def _outline(name: str, box: tuple[float, float, float, float]) -> list[float]:
    """The polygon of a shape: x, y, x, y, …"""
    left, top, right, bottom = map(float, box)
    middle, centre = (left + right) / 2, (top + bottom) / 2
    if name == "square":
        return [left, top, right, top, right, bottom, left, bottom]
    if name == "triangle":
        return [middle, top, right, bottom, left, bottom]
    turns = [2 * math.pi * step / 24 for step in range(24)]
    points = [
        (middle + (right - left) / 2 * math.cos(turn), centre + (bottom - top) / 2 * math.sin(turn)) for turn in turns
    ]
    return [value for point in points for value in point]


def pack(folder: Path, *, coco: bool, images_only: bool = False) -> Path:
    """An archive to upload."""
    target = folder.parent / f"{folder.name}{'-coco' if coco else ''}{'-raw' if images_only else ''}.tar.gz"
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        archive.add(folder / "images", "images")
        if coco and not images_only:
            archive.add(folder / "annotations.json", "annotations.json")
        elif not images_only:
            archive.add(folder / "labels", "labels")
    return target
