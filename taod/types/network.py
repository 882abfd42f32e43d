"""What the networks endpoints tell: actions, formats, and which runner can do each."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class NetworkArch(StrEnum):
    """What a model can be: the network architectures and the data services."""

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


class ActionInfo(msgspec.Struct):
    """One action of a network, and the runners that can do it here, best first."""

    name: str
    runners: list[str] = []
    takes_spec: bool = True


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
