"""What the engine offers of the data services, as plain data. No heavy imports."""

from __future__ import annotations

from typing import Any

from runners.engine.errors import SpecError
from runners.engine.spec import lookup

_SHAPES = ("PIL", "numpy", "pycocotools")
SERVICES: dict[str, dict[str, tuple[str, ...]]] = {
    "annotations": {"convert": _SHAPES},
    "analytics": {"analyze": (*_SHAPES, "matplotlib"), "validate": _SHAPES},
    "augmentation": {"generate": _SHAPES},
    "dataset": {"check": ("PIL",)},
}
"""Service → action → modules that it needs."""
MODULES = {
    ("annotations", "convert"): "convert",
    ("analytics", "analyze"): "analyze",
    ("analytics", "validate"): "validate",
    ("augmentation", "generate"): "generate",
    ("dataset", "check"): "check",
}
"""Where each is, below `runners.engine.data`."""

FORMATS = ("KITTI", "COCO", "PASCAL_VOC")
MASKS = "UNET"
"""Images of class numbers beside the images."""
TABLES = ("CLASSIFICATION", "CSV")
"""Formats of images by class: a folder a class, or a table."""
_KNOWN = {
    ("annotations", "convert"): ("data.input_format", "data.output_format"),
    ("analytics", "analyze"): ("data.input_format",),
    ("analytics", "validate"): ("data.input_format",),
    ("augmentation", "generate"): ("data.dataset_type",),
}
_TFRECORDS = "It writes TFRecords, which only the TensorFlow networks read: the embedded engine has none of them."
UNSUPPORTED: dict[str, tuple[str, str]] = {
    "auto_label": (
        "The embedded engine has no detector or segmenter that could label images.",
        "Configure a runner with the original data services for auto_label in taod.toml ([[runner.rule]]), or label "
        "with another tool and upload the labels.",
    ),
    "object_detection": (
        f"The embedded engine cannot convert detection datasets. {_TFRECORDS}",
        "Configure another runner for it in taod.toml; to turn KITTI into COCO or back, run convert of a model "
        "with network_arch annotations.",
    ),
    "instance_segmentation": (
        f"The embedded engine cannot convert segmentation datasets. {_TFRECORDS}",
        "Configure another runner for it in taod.toml ([runner] order and [[runner.rule]]); to turn its COCO file into "
        "KITTI, PASCAL_VOC, UNET or a clean COCO file, run convert of a model with network_arch annotations.",
    ),
    "semantic_segmentation": (
        "The embedded engine writes no masks into the dataset that it reads.",
        "Run convert of a model with network_arch annotations on it, with data.output_format UNET, and make a dataset "
        "of the job's results; or configure another runner for it in taod.toml.",
    ),
}
"""What the engine has been asked for and has not: why, and what to do."""


def check(service: str, action: str, document: dict[str, Any]) -> None:
    """Raise SpecError for a format that the engine does not read or write."""
    for path in _KNOWN.get((service, action), ()):
        value = lookup(document, path)
        allowed: tuple[str, ...] = (*FORMATS, MASKS, *TABLES) if service == "annotations" else (*FORMATS, MASKS)
        if action == "validate":
            allowed = FORMATS
        if value is not None and str(value).upper() not in allowed:
            raise SpecError(f"{path}: {value!r} is not one of {', '.join(allowed)}.")
    if service == "annotations":
        _check_pair(document)


def _check_pair(document: dict[str, Any]) -> None:
    given = str(lookup(document, "data.input_format") or "COCO").upper()
    wanted = str(lookup(document, "data.output_format") or "KITTI").upper()
    if wanted == MASKS and given in ("KITTI", "PASCAL_VOC"):
        raise SpecError(f"data.output_format: {given} has no way to {MASKS}: it holds boxes, and masks need polygons.")
    # COCO into COCO leaves out what is wrong, and makes boxes where only segmentations are.
    if given == wanted != "COCO":
        raise SpecError(f"data.output_format: it is {wanted}, as data.input_format is; name another one.")
    if (given in TABLES) != (wanted in TABLES):
        raise SpecError(f"data.output_format: {given} has no way to {wanted}; objects and classes are not the same.")
