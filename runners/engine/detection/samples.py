"""Labelled images of detection datasets (KITTI, COCO) as samples with class indices; it decides what an object is."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from runners.engine.data.boxes import SHOWN, Source, split_problems
from runners.engine.detection.metrics import Truth
from runners.engine.errors import DataError, SpecError
from taod.datasets.formats import coco, kitti
from taod.datasets.formats.segments import Annotated, Numbered, Segmentation, segmentation_of
from taod.datasets.formats.types import Label, image_paths

log = logging.getLogger("engine")


class Sample(msgspec.Struct, frozen=True):
    """An image with its objects; boxes are edges in pixels of the image as it is stored."""

    path: str
    name: str
    """Below its folder of images."""
    id: int
    boxes: list[tuple[float, float, float, float]] = []
    classes: list[int] = []
    crowd: list[bool] = []
    areas: list[float] = []
    """As the labels have them, else of the boxes."""
    segmentations: list[Segmentation | None] = []


class Classes(msgspec.Struct, frozen=True):
    """The classes of a detector in the order of its outputs, and what names of the data belong to them."""

    names: list[str]
    sources: dict[str, int]
    """Name in the data, in lower case where `folded` → index."""
    ids: list[int]
    """Category ids, for COCO results."""
    folded: bool = False

    def index(self, name: str) -> int | None:
        return self.sources.get(name.lower() if self.folded else name)


def mapped(mapping: dict[str, str]) -> Classes:
    """Classes of a `target_class_mapping`: target classes in the order of the alphabet, names of the data folded.

    Raises DataError for an empty mapping.
    """
    if not mapping:
        raise DataError("dataset_config.target_class_mapping is empty; name at least one class.")
    names = sorted({target.lower() for target in mapping.values()})
    sources = {source.lower(): names.index(target.lower()) for source, target in mapping.items()}
    return Classes(names, sources, list(range(1, len(names) + 1)), folded=True)


def check_classes(own: Classes, trained: Classes) -> None:
    """Raise SpecError for a mapping whose classes are not the model's."""
    if own.names != trained.names:
        raise SpecError(
            f"dataset_config.target_class_mapping has the classes {', '.join(own.names)}, the model "
            f"{', '.join(trained.names)}; map to the model's."
        )


def categories(source: Source) -> Classes:
    """Classes of a COCO file, in the order of their ids."""
    found = sorted(coco.categories(source.labels.parent, source.labels.name), key=lambda one: one.id)
    if not found:
        raise DataError(f"{source.labels} has no categories.")
    names = [one.name for one in found]
    return Classes(names, {name: index for index, name in enumerate(names)}, [one.id for one in found])


def beside(place: str) -> Path:
    """The dataset that a path or pattern of TFRecords (`T/tfrecords/*`) belongs to: the engine reads the images and
    labels that the records were made from."""
    path = Path(place)
    for folder in (path, *path.parents):
        if folder.name == "tfrecords":
            return folder.parent
    return path if path.is_dir() else path.parent


def kitti_source(root: Path) -> Source:
    """Images and labels below a dataset's top. Raises DataError."""
    if (root / "labels").is_dir():
        return Source("KITTI", root / "images", root / "labels")
    if (root / "annotations.json").is_file():
        return Source("COCO", root / "images", root / "annotations.json")
    raise DataError(f"{root} has neither labels/ (KITTI) nor annotations.json (COCO); the engine reads no TFRecords.")


def coco_source(root: Path, labels: str | None = None) -> Source:
    """Images and annotations of a dataset; `labels` where a specification names the file."""
    file = Path(labels) if labels else root / "annotations.json"
    return Source("COCO", file.parent / "images", file)


def read(sources: Iterable[Source], classes: Classes, *, crowds: bool = True) -> list[Sample]:
    """The samples of all sources, images without objects included. Wrong labels are reported and left out.

    Raises DataError if the data have no image, or no object of the classes.
    """
    samples: list[Sample] = []
    other: Counter[str] = Counter()
    for source in sources:
        items, problems = split_problems(source.read())
        for problem in problems[:SHOWN]:
            place = f"{problem.file}:{problem.line}"
            log.warning("Left out: %s: %s; expected %s", place, problem.what, problem.expected)
        for item in items:
            sample = Sample(
                str(source.images / item.image),
                item.image,
                item.id if isinstance(item, Numbered) else len(samples) + 1,
                [],
                [],
                [],
                [],
                [],
            )
            for label in item.labels:
                _add(sample, label, classes, other, crowds=crowds)
            samples.append(sample)
    if not samples:
        raise DataError("The datasets have no labelled image.")
    if not any(sample.classes for sample in samples):
        there = ", ".join(f"'{name}'" for name, _ in other.most_common(SHOWN)) or "no objects"
        raise DataError(f"No object of the classes {', '.join(classes.names)} is in the data, which have {there}.")
    if other:
        left = ", ".join(f"{count} {name}" for name, count in other.most_common(SHOWN))
        log.info("Objects of other classes are left out: %s", left)
    return samples


def _add(sample: Sample, label: Label, classes: Classes, other: Counter[str], *, crowds: bool) -> None:
    crowd = isinstance(label, Annotated) and label.crowd
    index = classes.index(label.name)
    if label.box is None or not kitti.is_object(label) or (crowd and not crowds):
        return
    if index is None:
        other[label.name] += 1
        return
    if label.box.width <= 0 or label.box.height <= 0:
        return
    sample.boxes.append((label.box.left, label.box.top, label.box.right, label.box.bottom))
    sample.classes.append(index)
    sample.crowd.append(crowd)
    area = label.area if isinstance(label, Annotated) else None
    sample.segmentations.append(segmentation_of(label))
    sample.areas.append(label.box.width * label.box.height if area is None else area)


def unlabelled(folder: Path) -> list[Sample]:
    """The images below a folder, without objects. Raises DataError where there is none."""
    if not folder.is_dir():
        raise DataError(f"The folder of images {folder} does not exist.")
    names = list(image_paths(folder, "."))
    if not names:
        raise DataError(f"{folder} has no images.")
    return [Sample(str(folder / name), name, number) for number, name in enumerate(names, 1)]


def truth(sample: Sample) -> Truth:
    """The objects of a sample for the metrics."""
    return Truth(
        np.array(sample.boxes, dtype=float).reshape(-1, 4),
        np.array(sample.classes, dtype=int),
        np.array(sample.crowd, dtype=bool),
        np.array(sample.areas, dtype=float),
    )
