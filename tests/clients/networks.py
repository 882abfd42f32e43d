"""What each network group of the published client works on: the datasets of its roles, and how they are converted."""

from __future__ import annotations

from typing import NamedTuple

from taod.catalogue import Catalogue

KITTI = frozenset({"detectnet_v2", "faster_rcnn", "yolo_v3", "yolo_v4", "yolo_v4_tiny", "ssd", "dssd", "retinanet"})
FORMATS = {
    "classification_pyt": ("classification_pyt", "raw"),
    "classification_tf1": ("default", "raw"),
    "classification_tf2": ("default", "raw"),
    "multitask_classification": ("custom", "raw"),
    "unet": ("unet", "unet"),
    "segformer": ("unet", "unet"),
    "lprnet": ("lprnet", "raw"),
    "mask_rcnn": ("coco", "raw"),
    "mal": ("coco", "coco"),
    "dino": ("coco", "coco_raw"),
    "deformable_detr": ("coco", "coco_raw"),
    "efficientdet_tf1": ("coco", "coco_raw"),
    "efficientdet_tf2": ("coco", "coco_raw"),
    "auto_label": ("coco", "coco"),
}
"""Formats of labelled data, and of data for inference, where a network has a choice."""
CONVERSIONS = {
    **dict.fromkeys(("detectnet_v2", "faster_rcnn", "yolo_v3", "yolo_v4", "yolo_v4_tiny", "mask_rcnn"), "convert"),
    **dict.fromkeys(("ssd", "dssd", "retinanet"), "convert_and_index"),
    "efficientdet_tf1": "convert_efficientdet_tf1",
    "efficientdet_tf2": "convert_efficientdet_tf2",
    **dict.fromkeys(("bpnet", "fpenet", "ocrnet", "pointpillars"), "dataset_convert"),
}
"""The action that makes of a dataset what the network reads."""
DATA_SERVICES = ("analytics", "annotations", "augmentation", "auto_label")


class Data(NamedTuple):
    """The data that a network works on."""

    type: str
    labelled: str
    inference: str


def data_of(network: str) -> Data:
    """Type and formats of a network's data."""
    entry = Catalogue().network(network)
    assert entry is not None
    usual = ("kitti", "raw") if network in KITTI else ("default", "default")
    if network in DATA_SERVICES:
        usual = ("coco", "coco")
    return Data(entry.dataset_type, *FORMATS.get(network, usual))
