"""Shared by the layouts: paths in a dataset, and the names of its classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from taod import plain_file
from taod.catalogue.commands.inputs import DatasetFacts, JobFacts
from taod.catalogue.schema.merge import put
from taod.catalogue.schema.tables import Part

Spec = dict[str, Any]
Fill = Callable[[Spec, JobFacts], None]


def at(dataset: DatasetFacts | None, name: str = "") -> str | None:
    """A path in a dataset, whether it exists or not; None without a dataset."""
    if dataset is None:
        return None
    return str(dataset.root / name) if name else str(dataset.root)


def put_all(spec: Spec, values: dict[str, Any]) -> None:
    """Set every value that is known, by dotted path."""
    for path, value in values.items():
        if value is not None:
            put(spec, path, value)


def first(facts: JobFacts) -> DatasetFacts | None:
    """The first train set, for networks that read only one."""
    return facts.train[0] if facts.train else None


_CALIBRATION = {
    "mask2former": ("dataset.quant_calibration_dataset.images_dir", "images"),
    "ocdnet": ("dataset.quant_calibration_dataset.images_dir", "train/img"),
    "ocrnet": ("dataset.quant_calibration_dataset.images_dir", "train"),
    "oneformer": ("dataset.quant_calibration_dataset.images_dir", "images"),
    "visual_changenet_segment": ("dataset.segment.quant_calibration_dataset.images_dir", ""),
}
"""Network -> the field with the images that a quantization measures activations on, and their folder in a dataset."""


def calibrate(spec: Spec, facts: JobFacts) -> None:
    """Fill the images of a quantization: those of the calibration dataset, else of the first train dataset."""
    if facts.action == "quantize" and facts.network in _CALIBRATION:
        field, folder = _CALIBRATION[facts.network]
        put_all(spec, {field: at(facts.calibration or first(facts), folder)})


def listed(spec: Spec, facts: JobFacts, parts: list[Part]) -> None:
    """Fill the fields that a data file lists. Without an inference dataset, its fields take the eval dataset; without a
    calibration dataset, the first train dataset."""
    for part in parts:
        of_role: dict[str, Sequence[DatasetFacts | None]] = {
            "train_datasets": facts.train,
            "eval_dataset": [facts.eval],
            "inference_dataset": [facts.inference or facts.eval],
            "calibration_dataset": [facts.calibration or first(facts)],
        }
        found = [each for each in of_role[part.dataset] if each is not None]
        datasets = [each for each in found if not part.holding or (each.root / part.holding).exists()]
        values = [_values(each, part.parts) for each in datasets]
        if values:
            put(spec, part.field, values if part.many else values[0])


def _values(dataset: DatasetFacts, parts: dict[str, str]) -> Any:
    paths = {key: at(dataset, path.removesuffix(".tar.gz")) for key, path in parts.items()}
    return paths.get("", paths)


def images_folder(dataset: DatasetFacts, name: str) -> Path:
    """The folder `name` of a dataset; else its only `images*` folder."""
    wanted = dataset.root / name
    if wanted.is_dir():
        return wanted
    others = sorted(p for p in dataset.root.glob("images*") if p.is_dir())
    return others[0] if len(others) == 1 else wanted


def class_names(dataset: DatasetFacts) -> list[str]:
    """The classes found in a dataset, else those of its classes.txt or classes.json; empty: unknown."""
    if dataset.classes:
        return list(dataset.classes)
    with suppress(OSError):
        lines = plain_file.read(dataset.root / "classes.txt").decode("utf-8", "replace").splitlines()
        return [line.strip() for line in lines if line.strip()]
    with suppress(OSError, ValueError, RecursionError):
        return msgspec.json.decode(plain_file.read(dataset.root / "classes.json"), type=list[str])
    return []


def known_classes(facts: JobFacts) -> list[str]:
    """The classes of a job's data, as its schema has them: of all train sets in order, else of another set."""
    learnt = dict.fromkeys(name for dataset in facts.train for name in class_names(dataset))
    others = [facts.eval, facts.inference, facts.calibration, facts.own]
    return list(learnt) or next((names for d in others if d is not None and (names := class_names(d))), [])
