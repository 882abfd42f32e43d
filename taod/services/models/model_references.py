"""Checks that the datasets and pretrained models of a model exist, belong to the user and fit the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store import Store
from store.records import DatasetRecord
from taod.catalogue import Network
from taod.errors import BadRequest
from taod.types.network import fitting_types

SINGLE = ("eval_dataset", "inference_dataset", "calibration_dataset")
LABELLED = ("train_datasets", "eval_dataset")

UNLABELLED_FORMATS = frozenset({"raw", "coco_raw"})
_KITTI = frozenset({"kitti"})
_COCO = frozenset({"coco"})
LABELLED_FORMATS: dict[str, frozenset[str]] = {
    "classification_pyt": frozenset({"classification_pyt"}),
    "mae": frozenset({"classification_pyt", "ssl"}),
    "nvdinov2": frozenset({"classification_pyt", "ssl"}),
    "classification_tf1": frozenset({"default", "classification_pyt"}),
    "classification_tf2": frozenset({"default", "classification_pyt"}),
    "multitask_classification": frozenset({"custom"}),
    "deformable_detr": _COCO,
    "dino": _COCO,
    "rtdetr": _COCO,
    "mask2former": frozenset({"coco", "coco_panoptic"}),
    "oneformer": frozenset({"coco_panoptic"}),
    "grounding_dino": frozenset({"odvg"}),
    "mask_grounding_dino": frozenset({"odvg"}),
    "efficientdet_tf1": _COCO,
    "efficientdet_tf2": _COCO,
    "mask_rcnn": _COCO,
    "mal": _COCO,
    "detectnet_v2": _KITTI,
    "faster_rcnn": _KITTI,
    "yolo_v3": _KITTI,
    "yolo_v4": _KITTI,
    "yolo_v4_tiny": _KITTI,
    "ssd": _KITTI,
    "dssd": _KITTI,
    "retinanet": _KITTI,
    "unet": frozenset({"unet"}),
    "segformer": frozenset({"unet"}),
    "lprnet": frozenset({"lprnet"}),
}
"""Network → dataset formats for train and evaluate; other networks take every format with labels. Inference and
calibration need only images."""

EVALUATED_FORMATS: dict[str, frozenset[str]] = {"grounding_dino": _COCO, "mask_grounding_dino": _COCO}
"""Network → formats of the eval dataset, if they differ from those of the train datasets."""


def check_references(store: Store, user_id: str, network: Network, fields: Mapping[str, Any]) -> None:
    """Raise BadRequest for the first reference in `fields` that cannot be added to a model of `network`."""
    for dataset_id in fields.get("train_datasets") or ():
        _check_dataset(store, user_id, network, "train_datasets", dataset_id)
    for field in SINGLE:
        if fields.get(field) is not None:
            _check_dataset(store, user_id, network, field, fields[field])
    for model_id in fields.get("ptm") or ():
        _check_ptm(store, user_id, network, model_id)


def _check_dataset(store: Store, user_id: str, network: Network, field: str, dataset_id: str) -> None:
    dataset = store.datasets.get(user_id, dataset_id)
    if dataset is None:
        raise _rejected(field, f"there is no dataset {dataset_id!r}; GET …/dataset lists yours")
    fitting = fitting_types(network.name, network.dataset_type)
    if dataset.type not in fitting:
        wanted = " or ".join(map(repr, fitting))
        raise _rejected(field, f"dataset {dataset.name!r} is of type {dataset.type!r}, {network.name} needs {wanted}")
    if field in LABELLED:
        _check_format(network, field, dataset)


def _check_format(network: Network, field: str, dataset: DatasetRecord) -> None:
    allowed = LABELLED_FORMATS.get(network.name)
    if field == "eval_dataset":
        allowed = EVALUATED_FORMATS.get(network.name, allowed)
    if allowed is not None and dataset.format not in allowed:
        raise _rejected(
            field,
            f"dataset {dataset.name!r} has format {dataset.format!r}, {network.name} needs "
            f"{' or '.join(sorted(allowed))} here",
        )
    if allowed is None and dataset.format in UNLABELLED_FORMATS:
        raise _rejected(field, f"dataset {dataset.name!r} has format {dataset.format!r}, which has no labels")


def _check_ptm(store: Store, user_id: str, network: Network, model_id: str) -> None:
    model = store.models.get(user_id, model_id)
    if model is None:
        raise _rejected("ptm", f"there is no pretrained model {model_id!r}; GET …/ptm lists them")
    if model.user_id is not None:
        raise _rejected("ptm", f"{model.name!r} is no pretrained model; GET …/ptm lists them")
    if model.network_arch != network.name:
        raise _rejected("ptm", f"{model.ngc_path or model.name!r} is for {model.network_arch}, not for {network.name}")


def _rejected(field: str, why: str) -> BadRequest:
    return BadRequest(f"Provided {field} cannot be added: {why}")
