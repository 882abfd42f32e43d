"""Data where specifications name TFRecords made from COCO annotations: the annotations themselves are read."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from runners.engine.detection import samples
from runners.engine.detection.samples import Classes, Sample
from runners.engine.errors import DataError, SpecError

log = logging.getLogger("engine")


def training(pattern: str | None, given: int, default: int, fields: tuple[str, str]) -> tuple[list[Sample], Classes]:
    """The samples and classes of the dataset whose TFRecords `pattern` names, with `given` classes of the
    specification, the background included; left at the catalogue's `default`, those of the data count.

    `fields`: of the pattern and of the number of classes. Raises DataError and SpecError.
    """
    if not pattern:
        raise DataError(f"{fields[0]} is not set; assign a dataset to the model.")
    source = samples.coco_source(samples.beside(pattern))
    classes = samples.categories(source)
    there = len(classes.names)
    if given <= there:
        raise SpecError(
            f"{fields[1]} is {given}, but the data have {there} classes; set it to {there + 1}, with the background."
        )
    if given not in (there + 1, default):
        log.info("%s is %d; the data have %d classes, which is used", fields[1], given, there)
    return samples.read([source], classes), classes


def held_out(pattern: str | None, annotations: str | None, classes: Classes, field: str) -> list[Sample]:
    """The samples to be measured on. Raises DataError where neither TFRecords nor an annotations file is named."""
    if not pattern and not annotations:
        raise DataError(f"{field} is not set; give the model an evaluation dataset.")
    root = samples.beside(pattern) if pattern else Path()
    return samples.read([samples.coco_source(root, annotations)], named(classes))


def named(classes: Classes) -> Classes:
    """The same classes, read from data that have them under their own names."""
    return msgspec.structs.replace(classes, sources={name: index for index, name in enumerate(classes.names)})
