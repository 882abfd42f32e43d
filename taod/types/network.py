"""Answers of the networks endpoints: actions, formats, and the runners of each action."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from taod.types.release import BASE


class NetworkArch(StrEnum):
    """Values of a model's `network_arch`: the network architectures and the data services."""

    DETECTNET_V2 = "detectnet_v2"
    FASTER_RCNN = "faster_rcnn"
    YOLO_V4 = "yolo_v4"
    YOLO_V4_TINY = "yolo_v4_tiny"
    YOLO_V3 = "yolo_v3"
    SSD = "ssd"
    DSSD = "dssd"
    RETINANET = "retinanet"
    UNET = "unet"
    LPRNET = "lprnet"
    CLASSIFICATION_TF1 = "classification_tf1"
    CLASSIFICATION_TF2 = "classification_tf2"
    EFFICIENTDET_TF1 = "efficientdet_tf1"
    EFFICIENTDET_TF2 = "efficientdet_tf2"
    MASK_RCNN = "mask_rcnn"
    MULTITASK_CLASSIFICATION = "multitask_classification"
    BPNET = "bpnet"
    FPENET = "fpenet"
    ACTION_RECOGNITION = "action_recognition"
    CLASSIFICATION_PYT = "classification_pyt"
    MAL = "mal"
    ML_RECOG = "ml_recog"
    OCDNET = "ocdnet"
    OCRNET = "ocrnet"
    OPTICAL_INSPECTION = "optical_inspection"
    POINTPILLARS = "pointpillars"
    POSE_CLASSIFICATION = "pose_classification"
    RE_IDENTIFICATION = "re_identification"
    DEFORMABLE_DETR = "deformable_detr"
    DINO = "dino"
    SEGFORMER = "segformer"
    ANNOTATIONS = "annotations"
    ANALYTICS = "analytics"
    AUGMENTATION = "augmentation"
    AUTO_LABEL = "auto_label"


_OF_IMAGES = ("object_detection", "instance_segmentation", "semantic_segmentation")
_WORKS_ON: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("annotations", "analytics", "augmentation", "auto_label", "image"), _OF_IMAGES
)


def fitting_types(network: str, dataset_type: str) -> tuple[str, ...]:
    """Dataset types that a model of a network accepts: the network's own, or for data services all types with
    labels."""
    return _WORKS_ON.get(network, (dataset_type,))


class ActionInfo(msgspec.Struct):
    """One action of a network, and the runners that can run it here, in order of preference."""

    name: str
    runners: list[str] = []
    takes_spec: bool = True
    may_follow: list[str] = []
    """Actions whose completed job can be its parent."""
    needs_parent: bool = False
    tool: str = ""
    """Package, version and environment of the tool that the first runner would use, if the runner reports it."""


class ParameterInfo(msgspec.Struct, omit_defaults=True):
    """One parameter of an action's specification. `path` is dotted; below a list it describes the list's items."""

    path: str
    title: str
    description: str
    type: str
    """`int`, `float`, `bool`, `string`, `list`, `object` or `any`."""
    actions: list[str] = []
    """The actions whose specifications have this parameter with these properties."""
    default: Any = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    options: list[Any] = []
    multiple_of: int | None = None
    rules: list[str] = []
    """Comparisons with other parameters: `< train.num_epochs`; `/ a.b` for a multiple."""
    required: bool = False
    popular: bool = False
    automl: bool = False
    """Searched by sweeps unless the model removes it."""
    hidden: bool = False
    """Accepted in a specification, but not shown in the schema."""
    constant: bool = False


class NetworkInfo(msgspec.Struct):
    """One network architecture or dataset type of the catalogue."""

    name: str
    kind: str
    """`network` or `dataset`."""
    dataset_type: str
    formats: list[str]
    image: str
    spec_format: str
    """`yaml`, `protobuf` or `json`."""
    actions: list[ActionInfo]
    metric: str | None = None
    release: str = BASE
    """The release of the tools that these facts describe."""
