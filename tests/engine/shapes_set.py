"""Generated images for segmentation: coloured shapes of several sizes over textures, some hidden, some images empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

NAMES = ("background", "disc", "square")


def write(root: Path, split: str, count: int, side: int = 64) -> None:
    """`images/<split>` and `masks/<split>`: classes 0 background, 1 red-ish discs, 2 blue-ish squares."""
    random = np.random.default_rng(len(split))
    for name in ("images", "masks"):
        (root / name / split).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        noise = random.integers(60, 150, (side, side, 3), dtype=np.uint8)
        image, mask = Image.fromarray(noise), Image.new("L", (side, side), 0)
        for _ in range(0 if index % 10 == 9 else random.integers(1, 4)):
            kind = int(random.integers(1, 3))
            size = int(random.integers(side // 6, side // 2))
            left, top = (int(random.integers(-size // 4, side - size // 2)) for _ in range(2))
            box = (left, top, left + size, top + size)
            colour = (int(random.integers(180, 255)), 40, 60) if kind == 1 else (50, 70, int(random.integers(180, 255)))
            for drawn, fill in ((ImageDraw.Draw(image), colour), (ImageDraw.Draw(mask), kind)):
                if kind == 1:
                    drawn.ellipse(box, fill=fill)
                else:
                    drawn.rectangle(box, fill=fill)
        image.save(root / "images" / split / f"{index:03d}.png")
        mask.save(root / "masks" / split / f"{index:03d}.png")
