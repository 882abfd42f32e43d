"""Datasets and devices that a job requires. Pure rules, checked when a job is posted."""

from __future__ import annotations

from typing import Any

import msgspec

from store.records import ModelRecord
from taod.catalogue.commands.resources import FIELDS
from taod.catalogue.schema.merge import get
from taod.errors import BadRequest

MULTI_GPU_ACTIONS = frozenset({"train", "distill", "retrain", "finetune"})
TRAINED_ON_DATA = frozenset({"train", "distill", "retrain"})
EVALUATIONS = frozenset({"evaluate", "inference", "inference_seq", "inference_trt", "confmat"})
DATA_SERVICES = frozenset({"annotations", "analytics", "augmentation", "auto_label", "image"})
OWN_LAYOUT = frozenset(
    {
        "action_recognition",
        "bpnet",
        "fpenet",
        "ml_recog",
        "ocdnet",
        "ocrnet",
        "pointpillars",
        "pose_classification",
        "re_identification",
    }
)
"""Networks whose single dataset has the parts for training, evaluation and inference."""

_IDS = ("gpu_id", "gpu_ids")


class Machine(msgspec.Struct, frozen=True):
    """Numbers of devices available to one run."""

    gpus: int
    cpu_slots: int


def check_datasets(model: ModelRecord, action: str) -> None:
    """Raise BadRequest if the model lacks a dataset that the action certainly reads."""
    field = _missing(model, action)
    if field is not None:
        value = '["<id of a dataset>"]' if field == "train_datasets" else '"<id of a dataset>"'
        raise BadRequest(
            f"{action} needs {field}, and model {model.name!r} has none; "
            f'set it by PATCH …/model/{model.id} {{"{field}": {value}}}'
        )


def _missing(model: ModelRecord, action: str) -> str | None:
    if model.network_arch in DATA_SERVICES:
        return None if model.inference_dataset else "inference_dataset"
    if action in TRAINED_ON_DATA:
        return None if model.train_datasets else "train_datasets"
    if action not in EVALUATIONS:
        return None
    wanted = "inference_dataset" if action.startswith("inference") else "eval_dataset"
    if getattr(model, wanted):
        return None
    if model.network_arch in OWN_LAYOUT and (model.train_datasets or model.eval_dataset):
        return None
    return wanted


def devices_wanted(action: str, spec: dict[str, Any] | None, machine: Machine) -> int:
    """Number of devices for a job: as in its spec for trainings, else one.

    Raises BadRequest if the spec asks for more than the machine has, or the machine has no device.
    """
    if machine.gpus + machine.cpu_slots == 0:
        raise BadRequest("this machine offers no device: no GPU was found and devices.cpu_slots is 0; set it to 1")
    if action not in MULTI_GPU_ACTIONS or spec is None:
        return 1
    return max(_requested(field, get(spec, field), machine) for field in sorted(FIELDS))


def _requested(field: str, value: Any, machine: Machine) -> int:
    if value is None:
        return 1
    if isinstance(value, list):
        return _ids(field, value, machine)
    if isinstance(value, bool) or not isinstance(value, int):
        return 1
    if field.rpartition(".")[2] in _IDS:
        return _ids(field, [value], machine)
    if value < 0:
        raise BadRequest(f"{field} = {value}: a number of GPUs is not negative; set {field} to 1 or more")
    if value > max(machine.gpus, 1):
        raise BadRequest(f"{field} = {value}: {_has(machine)}; set {field} to {max(machine.gpus, 1)} or less")
    return max(value, 1)


def _ids(field: str, ids: list[Any], machine: Machine) -> int:
    for index in ids:
        if isinstance(index, bool) or not isinstance(index, int):
            continue
        if index < 0 or index >= max(machine.gpus, 1):
            raise BadRequest(f"{field} = {ids}: there is no GPU {index}; {_has(machine)}")
    return max(len(ids), 1)


def _has(machine: Machine) -> str:
    if machine.gpus == 0:
        return "this machine has no GPU, and a run on a CPU slot takes one"
    return f"this machine has {machine.gpus} GPU{'s' if machine.gpus > 1 else ''}"
