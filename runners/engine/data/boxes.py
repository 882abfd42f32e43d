"""Boxes of a data set in whatever format, read alike and written again: what conversions and augmentation work on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from runners.engine.data.check import write
from runners.engine.errors import DataError
from taod.datasets.formats import coco, kitti, voc
from taod.datasets.formats.found import Box, Found, Item, Label, Problem
from taod.datasets.formats.picture import measure

_REST = "0.00 0 0.00"
_TAIL = "0.00 0.00 0.00 0.00 0.00 0.00 0.00"
SHOWN = 3
"""Problems that an error names."""


class Source(msgspec.Struct, frozen=True):
    """Where labels are: a folder of pictures, and a file (COCO) or a folder of labels."""

    format: str
    images: Path
    labels: Path

    def found(self) -> Iterator[Found]:
        """The items, their `picture` below `images`; problems as they come. Raises DataError for what is not there."""
        if not self.images.is_dir():
            raise DataError(f"There is no folder of pictures {self.images}.")
        if self.format == "COCO":
            if not self.labels.is_file():
                raise DataError(f"There is no annotations file {self.labels}.")
            yield from self._below(coco.read(self.labels.parent, self.labels.name, self._images()))
            return
        if not self.labels.is_dir():
            raise DataError(f"There is no folder of labels {self.labels}.")
        read = kitti.read if self.format == "KITTI" else voc.read
        yield from self._below(read(self.labels.parent, self._images(), self.labels.name))

    def _images(self) -> str:
        """The pictures' folder as a path below the labels' parent, which the readers go out from."""
        top = self.labels.parent
        if self.images.is_relative_to(top):
            return str(self.images.relative_to(top))
        raise DataError(f"The pictures in {self.images} and the labels in {self.labels} must lie in one data set.")

    def _below(self, items: Iterable[Found]) -> Iterator[Found]:
        prefix = f"{self._images()}/"
        for item in items:
            if isinstance(item, Item):
                item.picture = item.picture.removeprefix(prefix)
            yield item


def sorted_out(found: Iterable[Found]) -> tuple[list[Item], list[Problem]]:
    """The items that have a picture, by its path, and the problems."""
    items: list[Item] = []
    problems: list[Problem] = []
    for one in found:
        if isinstance(one, Problem):
            problems.append(one)
        elif one.picture:
            items.append(one)
    return sorted(items, key=lambda item: item.picture), problems


def require(items: list[Item], problems: list[Problem]) -> None:
    """Raise DataError where there is nothing to work on."""
    if not items:
        said = "; ".join(f"{each.file}:{each.line}: {each.what}" for each in problems[:SHOWN])
        raise DataError(f"No labelled picture was found{f': {said}' if said else ''}.")


def class_name(name: str) -> str:
    """A class as KITTI can write it: its fields are parted by spaces."""
    return re.sub(r"\s+", "_", name.strip()) or "_"


def classes(items: Iterable[Item]) -> list[str]:
    """Class names in the order of the alphabet, regions to be ignored left out."""
    return sorted({label.name for item in items for label in item.labels if kitti.is_object(label)})


def write_kitti(items: Iterable[Item], folder: Path) -> int:
    """A label file a picture; returns how many. Labels without a box are left out.

    Raises DataError for two pictures that would have one label file.
    """
    count, seen = 0, set[Path]()
    for item in items:
        lines = [
            f"{class_name(label.name)} {_REST} {_corners(label.box)} {_TAIL}\n"
            for label in item.labels
            if label.box is not None
        ]
        file = _place(folder, item.picture, ".txt", seen)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(lines), encoding="utf-8")
        count += 1
    return count


def _place(folder: Path, picture: str, suffix: str, seen: set[Path]) -> Path:
    """The label file of a picture. Raises DataError where it is another picture's as well."""
    file = folder / Path(picture).with_suffix(suffix)
    if file in seen:
        raise DataError(f"{picture}: another picture has the same name but for its suffix; rename one of them.")
    seen.add(file)
    return file


def _corners(box: Box) -> str:
    return f"{box.left:.2f} {box.top:.2f} {box.right:.2f} {box.bottom:.2f}"


def write_coco(items: Iterable[Item], file: Path, images: Path, names: list[str] | None = None) -> int:
    """One JSON file; sizes of pictures are looked up where no label tells them. Returns how many pictures it has.

    Raises DataError for a picture that cannot be read.
    """
    items = list(items)
    names = classes(items) if names is None else names
    ids = {name: number for number, name in enumerate(names, 1)}
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, item in enumerate(items, 1):
        width, height = size_of(item, images)
        pictures.append({"id": number, "file_name": item.picture, "width": width, "height": height})
        for label in item.labels:
            if label.box is None or label.name not in ids:
                continue
            left, top, right, bottom = label.box
            across, down = round(right - left, 4), round(bottom - top, 4)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": ids[label.name],
                    "bbox": [left, top, across, down],
                    "area": round(across * down, 4),
                    "iscrowd": 0,
                    "segmentation": [],
                }
            )
    categories = [{"id": number, "name": name, "supercategory": name} for name, number in ids.items()]
    document = {"images": pictures, "annotations": annotations, "categories": categories}
    write(file, json.dumps(document, ensure_ascii=False).encode())
    return len(pictures)


def size_of(item: Item, images: Path) -> tuple[int, int]:
    """Width and height of an item's picture. Raises DataError where it cannot be read."""
    if item.size is not None:
        return item.size
    found = measure(images, item.picture)
    if isinstance(found, Problem):
        raise DataError(f"{images / item.picture}: {found.what}; replace or remove the picture.")
    return found


def write_voc(items: Iterable[Item], folder: Path, images: Path) -> int:
    """An XML file a picture; returns how many."""
    count, seen = 0, set[Path]()
    for item in items:
        width, height = size_of(item, images)
        objects = "".join(_object(label) for label in item.labels if label.box is not None and kitti.is_object(label))
        text = (
            f"<annotation>\n  <folder>{escape(images.name)}</folder>\n"
            f"  <filename>{escape(Path(item.picture).name)}</filename>\n"
            f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
            f"  <segmented>0</segmented>\n{objects}</annotation>\n"
        )
        file = _place(folder, item.picture, ".xml", seen)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        count += 1
    return count


def _object(label: Label) -> str:
    edges = "".join(
        f"<{edge}>{value:g}</{edge}>" if value == int(value) else f"<{edge}>{value:.2f}</{edge}>"
        for edge, value in zip(("xmin", "ymin", "xmax", "ymax"), label.box or (), strict=True)
    )
    name = escape(re.sub(r"[\x00-\x08\x0b-\x1f]", "", label.name))
    return (
        f"  <object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>0</difficult><bndbox>{edges}</bndbox></object>\n"
    )
