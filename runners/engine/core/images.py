"""Reads one image, and lists those below a folder. No torch."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image, ImageOps

from runners.engine.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")

_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)


class Unreadable(msgspec.Struct, frozen=True):
    """An image that could not be decoded, and why. A value, so that it can cross from a data worker."""

    index: int
    path: str
    reason: str

    def error(self, remedy: str) -> DataError:
        return DataError(f"The image {self.path} cannot be read ({self.reason}); {remedy}.")


def read(path: str | Path) -> Image.Image:
    """The image as RGB. Raises whatever the decoder raises: a broken file may break it in many ways."""
    with Image.open(path) as image:
        image.load()
        return upright_rgb(image)


def size(path: str | Path) -> tuple[int, int]:
    """Width and height of an upright image. Raises DataError for one that cannot be read."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
            return (image.height, image.width) if turned else image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unreadable(0, str(path), f"{type(error).__name__}: {error}").error("replace or remove it") from None


def upright_rgb(image: Image.Image) -> Image.Image:
    """The image as RGB, turned as its EXIF data say; 16-bit greys are scaled to 8 bits."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image, dtype=np.float64)
        image = Image.fromarray(np.clip(values / 257.0, 0, 255).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def images_below(folder: Path, inner: str = "") -> list[str]:
    """Paths of images at any depth below folder/inner, relative to the folder, sorted."""
    found = []
    for place, folders, files in os.walk(folder / inner, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = os.path.relpath(place, folder)
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                found.append(name if here == "." else f"{here}/{name}")
    return sorted(found)


def required_folder(value: str | None, field: str) -> Path:
    """The folder that a field of the specification names. Raises DataError."""
    if not value:
        raise DataError(f"{field} is not set.")
    folder = Path(value)
    if not folder.is_dir():
        raise DataError(f"{field} {folder} is not a folder.")
    return folder


def first_names(names: list[str]) -> str:
    """Up to five names, for a sentence."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"'{name}'" for name in names[:5]) + more
