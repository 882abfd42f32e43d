"""Data of depth_net: lists of images with depth or disparity, rewritten with whole paths, as the tool wants them."""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from pathlib import Path

from taod import plain_file
from taod.catalogue.commands.inputs import DatasetFacts, JobFacts
from taod.catalogue.commands.sources.common import Spec, at, first
from taod.catalogue.schema.merge import get, put
from taod.errors import BadRequest

LINES = "annotations.txt"
_STEREO = "GenericDataset"
_METRIC, _RELATIVE = "MetricMonoDataset", "RelativeMonoDataset"
"""The tool's readers of such lines."""


def depth_net(spec: Spec, facts: JobFacts) -> None:
    """`dataset.{train,val,test,infer}_dataset.data_sources`: a reader and a list for each dataset."""
    metric = "Metric" in str(get(spec, "model.model_type", ""))
    name = _STEREO if facts.network == "depth_net_stereo" else (_METRIC if metric else _RELATIVE)
    sources: dict[str, list[dict[str, str]]] = {}
    for part, list_file, _ in _lists(facts):
        sources.setdefault(part, []).append({"dataset_name": name, "data_file": str(list_file)})
    for part, found in sources.items():
        put(spec, f"dataset.{part}.data_sources", found)
    if facts.action == "quantize" and (calibration := facts.calibration or first(facts)) is not None:
        put(spec, "dataset.quant_calibration_dataset.images_dir", at(calibration, "images"))


def lists(facts: JobFacts) -> dict[Path, str]:
    """The lists that the specification names: path in the job's folder -> its lines.

    Raises BadRequest for a path that leaves its dataset.
    """
    return {path: _whole(dataset) for _, path, dataset in _lists(facts)}


def _lists(facts: JobFacts) -> Iterator[tuple[str, Path, DatasetFacts]]:
    """(part of the specification, list, dataset) of everything that the action reads."""
    parts: dict[str, list[DatasetFacts | None]] = {}
    if facts.action in ("train", "quantize"):
        parts = {"train_dataset": [*facts.train], "val_dataset": [facts.eval]}
    elif facts.action == "evaluate":
        parts = {"test_dataset": [facts.eval]}
    elif facts.action == "inference":
        parts = {"infer_dataset": [facts.inference or facts.eval]}
    for part, datasets in parts.items():
        for number, dataset in enumerate(each for each in datasets if each is not None):
            yield part, facts.folder / f"{part}_{number}.txt", dataset


def _whole(dataset: DatasetFacts) -> str:
    try:
        text = plain_file.read(dataset.root / LINES).decode("utf-8", "replace")
    except OSError:
        return ""
    return "".join(" ".join(_below(dataset.root, word) for word in line.split()) + "\n" for line in text.splitlines())


def _below(root: Path, word: str) -> str:
    path = Path(os.path.normpath(root / word))
    if not path.is_relative_to(root):
        raise BadRequest(f"{LINES} names {word!r}, which is outside the dataset; name files of the dataset")
    return str(path)
