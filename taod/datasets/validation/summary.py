"""Summarises a dataset: one walk over its files. Blocks: run in a thread."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from taod import plain_file
from taod.datasets.names import is_text, raw
from taod.datasets.validation import extensions, label_stats
from taod.datasets.validation.fingerprint import FingerprintSum, folders
from taod.datasets.validation.layouts import CLASS_FOLDERS, IMAGE_SUFFIXES, SPLITS
from taod.datasets.validation.structure import some
from taod.errors import BadRequest
from taod.types.dataset import DatasetSummary, SplitSummary


class _Walk(NamedTuple):
    files: int
    bytes: int
    fingerprint: str
    images: dict[str, int]
    """Number of images directly in each folder, by its path below the top."""
    folders: list[str]
    empty_images: list[str]
    """Images of 0 bytes."""
    extensions: Counter[tuple[str, str]]
    """Number of images by folder and extension."""
    some: list[str]
    """Images to measure, of all folders."""


def summarise(folder: Path, type_: str, format_: str) -> DatasetSummary:
    """The summary of a dataset with a valid structure; `folder` is its top. Blocks: run in a thread.

    Classes are those of classes.txt in its order, else the class folders, else those of the labels (COCO, KITTI,
    masks). The fingerprint covers names, sizes and times, so that a change is detected without reading the files.

    Raises BadRequest if a classification dataset has images of 0 bytes, annotations.json is not COCO, or a file name is
    not UTF-8.
    """
    walk = _walk(folder)
    splits = _splits(walk, folder, type_)
    if type_ == "image_classification":
        _check_images(walk)
    classes = sorted({name for split in splits for name in split.classes})
    if format_ == "classification_pyt":
        lines = plain_file.read(folder / "classes.txt").decode("utf-8-sig").splitlines()
        classes = [line.strip() for line in lines if line.strip()]
    labels = _labels(folder, type_, format_)
    if labels is not None:
        classes = _of_labels(labels.classes, splits)
    painted = label_stats.of_masks(folder) if format_ == "unet" else label_stats.MaskClasses([], {}, None)
    return DatasetSummary(
        state="ready",
        images=sum(split.images for split in splits),
        bytes=walk.bytes,
        files=walk.files,
        classes=classes or painted.classes,
        splits=splits,
        fingerprint=walk.fingerprint,
        extensions=extensions.of_roots(walk.extensions, _roots(walk, type_)),
        highest_class_id=painted.highest if labels is None else labels.highest_class_id,
        lowest_class_id=None if labels is None else labels.lowest_class_id,
        boxes=None if labels is None else labels.boxes,
        sizes=label_stats.sizes(folder, walk.some),
        shares=painted.shares,
    )


def _labels(folder: Path, type_: str, format_: str) -> label_stats.Labelled | None:
    if format_ == "coco":
        return label_stats.of_coco(folder / "annotations.json")
    if format_ == "kitti":
        return label_stats.of_kitti(folder)
    if format_ == "pascal_voc":
        return label_stats.of_voc(folder)
    if format_ == "odvg":
        return label_stats.of_odvg(folder)
    if format_ == "coco_panoptic":
        return label_stats.of_panoptic(folder)
    return label_stats.of_quads(folder) if type_ == "ocdnet" else None


def _of_labels(counts: dict[str, int], splits: list[SplitSummary]) -> list[str]:
    """The classes of the labels; a single split gets their counts."""
    if len(splits) == 1:
        splits[0].classes = counts
    return list(counts)


def _check_images(walk: _Walk) -> None:
    if walk.empty_images:
        many = "is an image" if len(walk.empty_images) == 1 else f"are {len(walk.empty_images)} images"
        raise BadRequest(f"{some(walk.empty_images)}: there {many} of 0 bytes; replace or remove them and upload again")


def _walk(top: Path) -> _Walk:
    mark = FingerprintSum()
    images: Counter[str] = Counter()
    seen: list[str] = []
    empty_images: list[str] = []
    suffixes: Counter[tuple[str, str]] = Counter()
    chosen: list[str] = []
    for where, entries in folders(top):
        if not is_text(where):
            raise BadRequest(f"the name {raw(where)} is not UTF-8; rename the folder")
        seen.append(where)
        here = len(chosen)
        for entry in entries:
            status = entry.stat()
            path = f"{where}/{entry.name}" if where else entry.name
            if not is_text(entry.name):
                raise BadRequest(f"the name {raw(path)} is not UTF-8; rename the file")
            mark.add(path, status)
            suffix = os.path.splitext(entry.name)[1]  # noqa: PTH122 (a million times)
            if suffix.lower() in IMAGE_SUFFIXES:
                images[where] += 1
                suffixes[where, suffix] += 1
                if not status.st_size:
                    empty_images.append(path)
                elif len(chosen) - here < label_stats.MEASURED:
                    chosen.append(path)
    return _Walk(mark.files, mark.bytes, str(mark), dict(images), seen, sorted(empty_images), suffixes, sorted(chosen))


def _splits(walk: _Walk, top: Path, type_: str) -> list[SplitSummary]:
    by_class = type_ in CLASS_FOLDERS
    return [_split(walk, root, _name(root, type_), by_class) for root in _roots(walk, type_)]


def _roots(walk: _Walk, type_: str) -> list[str]:
    """The folders whose images are counted."""
    if type_ == "image_classification":
        return sorted(path for path in walk.folders if path.startswith("images") and "/" not in path)
    present = set(walk.folders)
    roots = [path for path in SPLITS.get(type_, ()) if path in present]
    return ["images"] if type_ == "semantic_segmentation" and not roots else roots


def _name(root: str, type_: str) -> str:
    """`train` for `images_train`, `images/train` and the like; else the name of the folder."""
    if type_ == "ml_recog":
        return "/".join(root.split("/")[-2:])
    last = root.removesuffix("/img").rpartition("/")[2]
    for prefix in ("images_", "sample_"):
        last = last.removeprefix(prefix) or last
    return last


def _split(walk: _Walk, root: str, name: str, by_class: bool) -> SplitSummary:
    inside = f"{root}/"
    images = walk.images.get(root, 0)
    classes: dict[str, int] = {}
    if by_class:
        for folder in walk.folders:
            if folder.startswith(inside):
                classes.setdefault(folder[len(inside) :].partition("/")[0], 0)
    for folder, count in walk.images.items():
        if folder.startswith(inside):
            images += count
            if by_class:
                classes[folder[len(inside) :].partition("/")[0]] += count
    return SplitSummary(name=name, images=images, classes=dict(sorted(classes.items())))
