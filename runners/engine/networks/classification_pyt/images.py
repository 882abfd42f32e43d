"""Finds images on disk: class folders with a classes file, or a plain folder; and reads one image. No torch."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image, ImageOps

from runners.engine.errors import DataError
from runners.engine.networks.classification_pyt.settings import Split

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
REMEDY = "replace or remove it, or set dataset.data.skip_unreadable to true"


class Unreadable(msgspec.Struct, frozen=True):
    """An image that could not be decoded, and why. A value, so that it can cross from a data worker."""

    index: int
    path: str
    reason: str

    def error(self) -> DataError:
        return DataError(f"The image {self.path} cannot be read ({self.reason}); {REMEDY}.")


class Images(msgspec.Struct, frozen=True):
    """Images of one folder, in sorted order; `labels` are indices into `classes`, empty where none are known."""

    folder: str
    names: list[str]
    """Paths below the folder."""
    labels: list[int]
    classes: list[str]

    def path(self, index: int) -> str:
        return os.path.join(self.folder, self.names[index])  # noqa: PTH118  a million times an epoch

    def digest(self) -> str:
        """Says whether another listing has the same images with the same labels in the same order."""
        found = hashlib.sha256("\0".join(self.classes).encode())
        for name, label in zip(self.names, self.labels, strict=True):
            found.update(f"\n{label} {name}".encode())
        return found.hexdigest()


def in_classes(split: Split, where: str, classes: list[str] | None = None, *, every: bool = False) -> Images:
    """The images of a split by class folder.

    `classes` (a checkpoint's) else the split's own decide the order. With `every`, each class must have an image.
    Raises DataError.
    """
    folder = _folder(split, where)
    present = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if not present:
        raise DataError(f"{folder} ({where}.data_prefix) has no class folders.")
    listed = classes if classes is not None else _listed(split, folder, where) or present
    order = {name: index for index, name in enumerate(listed)}
    unknown = [name for name in present if name not in order]
    if unknown:
        source = "the checkpoint's classes" if classes is not None else "the classes file"
        raise DataError(f"{folder} has the class folder {_some(unknown)}, not among {source} ({_some(listed)}).")
    names: list[str] = []
    labels: list[int] = []
    for name in present:
        found = _below(folder, name)
        names += found
        labels += [order[name]] * len(found)
    empty = [name for name in listed if order[name] not in set(labels)]
    if not names or (every and empty):
        raise DataError(f"{folder} has no images of class {_some(empty)}; known suffixes: {' '.join(SUFFIXES)}.")
    return Images(str(folder), names, labels, list(listed))


def loose(split: Split, where: str) -> Images:
    """All images below a folder, whatever its shape. Raises DataError."""
    folder = _folder(split, where)
    names = _below(folder, "")
    if not names:
        raise DataError(f"{folder} ({where}.data_prefix) has no images; known suffixes: {' '.join(SUFFIXES)}.")
    return Images(str(folder), names, [], [])


def read(path: str) -> Image.Image:
    """The image as RGB. Raises whatever the decoder raises: a broken file may break it in many ways."""
    with Image.open(path) as image:
        image.load()
        return upright_rgb(image)


def upright_rgb(image: Image.Image) -> Image.Image:
    """The image as RGB, turned as its EXIF data say; 16-bit greys are scaled to 8 bits."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image, dtype=np.float64)
        image = Image.fromarray(np.clip(values / 257.0, 0, 255).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def _folder(split: Split, where: str) -> Path:
    if not split.data_prefix:
        raise DataError(f"{where}.data_prefix is not set.")
    folder = Path(split.data_prefix)
    if not folder.is_dir():
        raise DataError(f"{where}.data_prefix {folder} is not a folder.")
    return folder


def _listed(split: Split, folder: Path, where: str) -> list[str] | None:
    """Classes as the split lists them, else as a classes.txt beside the folder does."""
    if isinstance(split.classes, list):
        lines, source = split.classes, f"{where}.classes"
    else:
        path = Path(split.classes) if split.classes else folder.parent / "classes.txt"
        if not split.classes and not path.is_file():
            return None
        try:
            lines, source = path.read_text(encoding="utf-8").splitlines(), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"The classes file {path} cannot be read: {error}.") from None
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(f"{source} lists no classes.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{source} lists {_some(twice)} more than once.")
    return names


def _below(folder: Path, inner: str) -> list[str]:
    """Paths of images at any depth below folder/inner, relative to the folder, sorted."""
    found = []
    for place, folders, files in os.walk(folder / inner, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = os.path.relpath(place, folder)
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                found.append(name if here == "." else f"{here}/{name}")
    return sorted(found)


def _some(names: list[str]) -> str:
    """Up to five names, for a sentence."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"'{name}'" for name in names[:5]) + more
