"""Reads and writes labels of a dataset in any of the formats, for conversions and augmentation."""

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
from runners.engine.run import Run
from taod.datasets.formats import coco, kitti, masks, segments, voc
from taod.datasets.formats.image import measure
from taod.datasets.formats.segments import Annotated, Numbered, segmentation_of
from taod.datasets.formats.types import Box, Found, Item, Label, Problem

_REST = "0.00 0 0.00"
_TAIL = "0.00 0.00 0.00 0.00 0.00 0.00 0.00"
DIGITS = 10
"""Behind the point: more than any label has, fewer than the noise of adding two."""
SHOWN = 3
"""Problems that an error names."""


class Source(msgspec.Struct, frozen=True):
    """Where labels are: a folder of images, and a file (COCO) or a folder of labels (UNET: of masks)."""

    format: str
    images: Path
    labels: Path

    def read(self) -> Iterator[Found]:
        """The items, their `image` below `images`, and problems. Raises DataError for missing folders and files."""
        if not self.images.is_dir():
            raise DataError(f"There is no folder of images {self.images}.")
        if self.format == "COCO":
            if not self.labels.is_file():
                raise DataError(f"There is no annotations file {self.labels}.")
            yield from self._below(
                coco.read(self.labels.parent, self.labels.name, self._images(), segments=True, required=coco.READABLE)
            )
            return
        if not self.labels.is_dir():
            raise DataError(f"There is no folder of labels {self.labels}.")
        read = {"KITTI": kitti.read, "UNET": masks.read}.get(self.format, voc.read)
        yield from self._below(read(self.labels.parent, self._images(), self.labels.name))

    def categories(self, items: Iterable[Item]) -> list[coco.Category]:
        """Those of a COCO file as they are, else those that labels name, numbered from 1."""
        if self.format == "COCO":
            return coco.categories(self.labels.parent, self.labels.name)
        return [coco.Category(number, name, name) for number, name in enumerate(classes(items), 1)]

    def _images(self) -> str:
        """The images' folder as a path below the labels' parent, which the readers go out from."""
        top = self.labels.parent
        if self.images.is_relative_to(top):
            return str(self.images.relative_to(top))
        raise DataError(f"The images in {self.images} and the labels in {self.labels} must lie in one dataset.")

    def _below(self, items: Iterable[Found]) -> Iterator[Found]:
        prefix = f"{self._images()}/"
        for item in items:
            if isinstance(item, Item):
                item.image = item.image.removeprefix(prefix)
                yield from self.drop_misfitting_masks(item)
                item.labels = [with_box(label) for label in item.labels]
            yield item

    def drop_misfitting_masks(self, item: Item) -> Iterator[Problem]:
        """Take masks of another size than the image's from its labels; a problem for each."""
        if not item.image or not any(found.counts for label in item.labels if (found := segmentation_of(label))):
            return
        size = measure(self.images, item.image)
        if isinstance(size, Problem):
            return  # the reader of the image reports it
        for at, label in enumerate(item.labels):
            found = segmentation_of(label)
            if found is not None and found.counts and found.size != size:
                what = f"the mask of {label.name} has {found.size[0]} x {found.size[1]} pixels"
                yield Problem(item.source, 0, what, f"{size[0]} x {size[1]}, as {item.image} has")
                item.labels[at] = msgspec.structs.replace(label, segmentation=None)


def with_box(label: Label) -> Label:
    """The label, with the box around its segmentation where it has none of its own."""
    if label.box is not None or (found := segmentation_of(label)) is None:
        return label
    return msgspec.structs.replace(label, box=segments.bounds(found))


def split_problems(found: Iterable[Found]) -> tuple[list[Item], list[Problem]]:
    """The items that have an image, by its path, and the problems."""
    items: list[Item] = []
    problems: list[Problem] = []
    for one in found:
        if isinstance(one, Problem):
            problems.append(one)
        elif one.image:
            items.append(one)
    return sorted(items, key=lambda item: item.image), problems


def report_left_out(run: Run, items: list[Item], why: str, remedy: str) -> int:
    """A status line where segmentations are lost; returns how many."""
    found = [found for item in items for label in item.labels if (found := segmentation_of(label)) is not None]
    if found:
        polygons = sum(bool(each.polygons) for each in found)
        run.status.running(
            f"{len(found)} segmentations are left out ({polygons} of polygons, {len(found) - polygons} masks): {why}; "
            f"{remedy}",
            kpi={"segmentations_left_out": len(found)},
        )
    return len(found)


def report_problems(run: Run, problems: list[Problem]) -> None:
    """A status line for each of the first ones."""
    for problem in problems[:SHOWN]:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        run.status.running(f"{place}: {problem.what}; expected {problem.expected}")


def report_keypoints(run: Run, items: list[Item]) -> None:
    """A status line where objects have keypoints: no service carries them."""
    count = sum(isinstance(label, Annotated) and label.keypoints for item in items for label in item.labels)
    if count:
        run.status.running(
            f"Keypoints of {count} objects are left out: boxes and segmentations are carried; take the keypoints from "
            "the dataset itself, by the ids of its annotations",
            kpi={"keypoints_left_out": count},
        )


def require(items: list[Item], problems: list[Problem]) -> None:
    """Raise DataError where there is nothing to work on."""
    if not items:
        said = "; ".join(f"{each.file}:{each.line}: {each.what}" for each in problems[:SHOWN])
        raise DataError(f"No labelled image was found{f': {said}' if said else ''}.")


def class_name(name: str) -> str:
    """A class as KITTI can write it: its fields are parted by spaces."""
    return re.sub(r"\s+", "_", name.strip()) or "_"


def classes(items: Iterable[Item]) -> list[str]:
    """Class names in the order of the alphabet, regions to be ignored left out."""
    return sorted({label.name for item in items for label in item.labels if kitti.is_object(label)})


class Written(msgspec.Struct):
    """What a writer has put into its files."""

    images: int = 0
    objects: int = 0
    """Those with a box; regions to be ignored are not counted."""


def write_kitti(items: Iterable[Item], folder: Path) -> Written:
    """A label file for each image. Labels without a box are left out.

    Raises DataError for two images that would have one label file.
    """
    written, seen = Written(), set[Path]()
    for item in items:
        labels = [label for label in item.labels if label.box is not None]
        lines = [f"{class_name(label.name)} {_REST} {_corners(label.box)} {_TAIL}\n" for label in labels if label.box]
        file = place(folder, item.image, ".txt", seen)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(lines), encoding="utf-8")
        written.images += 1
        written.objects += sum(map(kitti.is_object, labels))
    return written


def place(folder: Path, image: str, suffix: str, seen: set[Path]) -> Path:
    """The label file of an image. Raises DataError where it is another image's as well."""
    file = folder / Path(image).with_suffix(suffix)
    if file in seen:
        raise DataError(f"{image}: another image has the same name with another suffix; rename one of them.")
    seen.add(file)
    return file


def _corners(box: Box) -> str:
    return " ".join(map(decimal, box))


def decimal(value: float) -> str:
    """A coordinate with two digits behind the point, as KITTI has them, or with as many as it needs."""
    short = f"{value:.2f}"
    return short if float(short) == value else repr(denoised(value))


def denoised(value: float) -> float:
    """Without the last bits' noise of a sum or difference."""
    return round(value, DIGITS)


def write_coco(
    items: Iterable[Item], file: Path, images: Path, categories: list[coco.Category] | None = None
) -> Written:
    """One JSON file; sizes of images are read from the images where the labels lack them.

    Ids stay as they were where all have one. Raises DataError for an image that cannot be read.
    """
    items = list(items)
    if categories is None:
        categories = [coco.Category(number, name, name) for number, name in enumerate(classes(items), 1)]
    ids = {category.name: category.id for category in reversed(categories)}
    kept = [[label for label in item.labels if label.box is not None and label.name in ids] for item in items]
    numbers = _ids([item.id if isinstance(item, Numbered) else None for item in items])
    own = iter(_ids([label.id if isinstance(label, Annotated) else None for labels in kept for label in labels]))
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, item, labels in zip(numbers, items, kept, strict=True):
        width, height = size_of(item, images)
        entries.append({"id": number, "file_name": item.image, "width": width, "height": height})
        annotations += [_annotation(label, next(own), number, ids[label.name]) for label in labels]
    document = {
        "images": entries,
        "annotations": annotations,
        "categories": [
            {"id": each.id, "name": each.name, "supercategory": each.supercategory or each.name} for each in categories
        ],
    }
    write(file, json.dumps(document, ensure_ascii=False).encode())
    return Written(len(entries), len(annotations))


def _ids(found: list[int | None]) -> list[int]:
    """The ids themselves, or the numbers from 1 where one is missing or there twice."""
    whole = [each for each in found if each is not None]
    return whole if len(set(whole)) == len(found) else list(range(1, len(found) + 1))


def _annotation(label: Label, id_: int, image: int, category: int) -> dict[str, Any]:
    left, top, right, bottom = label.box or (0.0, 0.0, 0.0, 0.0)
    across, down = denoised(right - left), denoised(bottom - top)
    found = segmentation_of(label)
    area = label.area if isinstance(label, Annotated) else None
    if area is None:
        area = across * down if found is None else segments.area(found)
    return {
        "id": id_,
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, across, down],
        "area": denoised(area),
        "iscrowd": int(isinstance(label, Annotated) and label.crowd),
        "segmentation": segments.as_json(found),
    }


def size_of(item: Item, images: Path) -> tuple[int, int]:
    """Width and height of an item's image. Raises DataError where it cannot be read."""
    if item.size is not None:
        return item.size
    found = measure(images, item.image)
    if isinstance(found, Problem):
        raise DataError(f"{images / item.image}: {found.what}; replace or remove the image.")
    return found


def write_voc(items: Iterable[Item], folder: Path, images: Path) -> Written:
    """An XML file for each image."""
    written, seen = Written(), set[Path]()
    for item in items:
        width, height = size_of(item, images)
        labels = [label for label in item.labels if label.box is not None and kitti.is_object(label)]
        objects = "".join(map(_object, labels))
        text = (
            f"<annotation>\n  <folder>{escape(images.name)}</folder>\n"
            f"  <filename>{escape(Path(item.image).name)}</filename>\n"
            f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
            f"  <segmented>0</segmented>\n{objects}</annotation>\n"
        )
        file = place(folder, item.image, ".xml", seen)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        written.images += 1
        written.objects += len(labels)
    return written


def _object(label: Label) -> str:
    edges = "".join(
        f"<{edge}>{int(value)}</{edge}>" if value == int(value) else f"<{edge}>{decimal(value)}</{edge}>"
        for edge, value in zip(("xmin", "ymin", "xmax", "ymax"), label.box or (), strict=True)
    )
    name = escape(re.sub(r"[\x00-\x08\x0b-\x1f]", "", label.name))
    return (
        f"  <object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>0</difficult><bndbox>{edges}</bndbox></object>\n"
    )
