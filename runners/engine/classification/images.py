"""Finds images on disk: class folders with a classes file, or a plain folder. No torch."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from runners.engine.classification.settings import Split
from runners.engine.core.images import SUFFIXES, first_names, images_below, required_folder
from runners.engine.errors import DataError

REMEDY = "replace or remove it, or set dataset.data.skip_unreadable to true"


Label = int | list[int]
"""The class of an image, or its class in each task."""


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


def in_classes(split: Split, field: str, classes: list[str] | None = None, *, every: bool = False) -> Images:
    """The images of a split by class folder; `field` names its folder.

    `classes` (a checkpoint's) else the split's own decide the order. With `every`, each class must have an image.
    Raises DataError.
    """
    folder = required_folder(split.data_prefix, field)
    present = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if not present:
        raise DataError(f"{folder} ({field}) has no class folders.")
    listed = classes if classes is not None else _listed(split, folder, field) or present
    order = {name: index for index, name in enumerate(listed)}
    unknown = [name for name in present if name not in order]
    if unknown:
        source = "the checkpoint's classes" if classes is not None else "the classes file"
        raise DataError(
            f"{folder} has the class folder {first_names(unknown)}, not among {source} ({first_names(listed)})."
        )
    names: list[str] = []
    labels: list[int] = []
    for name in present:
        found = images_below(folder, name)
        names += found
        labels += [order[name]] * len(found)
    empty = [name for name in listed if order[name] not in set(labels)]
    if not names or (every and empty):
        raise DataError(f"{folder} has no images of class {first_names(empty)}; known suffixes: {' '.join(SUFFIXES)}.")
    return Images(str(folder), names, labels, list(listed))


def unsorted_images(split: Split, field: str) -> Images:
    """All images below a folder, whatever its shape, or a single image. Raises DataError."""
    if split.data_prefix and Path(split.data_prefix).is_file():
        one = Path(split.data_prefix)
        return Images(str(one.parent), [one.name], [], [])
    folder = required_folder(split.data_prefix, field)
    names = images_below(folder, "")
    if not names:
        raise DataError(f"{folder} ({field}) has no images; known suffixes: {' '.join(SUFFIXES)}.")
    return Images(str(folder), names, [], [])


def _listed(split: Split, folder: Path, field: str) -> list[str] | None:
    """Classes as the split lists them, else as a classes.txt beside the folder does."""
    if isinstance(split.classes, list):
        lines, source = split.classes, f"{field.rpartition('.')[0]}.classes"
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
        raise DataError(f"{source} lists {first_names(twice)} more than once.")
    return names
