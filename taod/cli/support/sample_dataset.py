"""A small real dataset: the 1,797 handwritten digits of scikit-learn, as files for image classification.

Source: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (Alpaydin and Kaynak, 1998).
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SIDE = 32
"""Side of the written images in pixels; the scans have 8."""
SPLITS = ("train", "val", "test")
CLASSES = [str(digit) for digit in range(10)]


def write(folder: Path) -> dict[str, int]:
    """Write `images_{train,val,test}/<digit>/<n>.png` and `classes.txt` below `folder`.

    In each class, every fifth scan is for validation and the next one for testing: each split has all classes, and the
    split is deterministic. Returns the number of images per split.
    """
    from PIL import Image

    counts = dict.fromkeys(SPLITS, 0)
    seen = dict.fromkeys(CLASSES, 0)
    for number, (scan, digit) in enumerate(_scans()):
        split = {0: "val", 1: "test"}.get(seen[digit] % 5, "train")
        seen[digit] += 1
        counts[split] += 1
        target = folder / f"images_{split}" / digit / f"{number:04d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray((scan * (255 / 16)).round().clip(0, 255).astype("uint8"))
        image.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(target)
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return counts


def _scans() -> Iterator[tuple[Any, str]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for scan, target in zip(digits.images, digits.target, strict=True):
        yield scan, str(target)


def pack(folder: Path, split: str, into: Path) -> Path:
    """Pack one split and classes.txt as `<into>/digits-<split>.tar.gz`; returns its path."""
    archive = into / f"digits-{split}.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as out:
        out.add(folder / "classes.txt", "classes.txt")
        out.add(folder / f"images_{split}", f"images_{split}")
    return archive
