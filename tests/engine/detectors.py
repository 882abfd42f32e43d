"""Specifications of detectors that train within seconds on the shapes of `tests.e2e.shapes`."""

from __future__ import annotations

import os
from pathlib import Path

from taod.catalogue.network import of
from taod.catalogue.schema.merge import merge, over_default
from taod.documents import Document
from tests.e2e import shapes

_SIDES = {"output_width": shapes.SIDE, "output_height": shapes.SIDE}
_SCALES = "[0.18,0.26,0.38,0.5,0.65,0.8,0.95]"
_ANCHORED = {
    "augmentation_config": {
        **_SIDES, "zoom_out_max_scale": 1, "random_crop_min_scale": 0.6, "brightness": 16, "contrast": 0.2,
        "saturation": 0.2, "hue": 6,
    }
}  # fmt: skip
_MULTIBOX = {"nlayers": 10, "scales": _SCALES, "aspect_ratios_global": "[1.0,2.0,0.5]"}
_YOLO = {"augmentation_config": {**_SIDES, "jitter": 0.1}}
_SMALL, _MID, _BIG = "[(12,12),(16,13),(13,16)]", "[(20,20),(24,18),(18,24)]", "[(30,30),(36,28),(28,36)]"
_THREE = {"nlayers": 10, "small_anchor_shape": _SMALL, "mid_anchor_shape": _MID, "big_anchor_shape": _BIG}

OWN: dict[str, Document] = {
    "ssd": {**_ANCHORED, "ssd_config": _MULTIBOX},
    "retinanet": {
        **_ANCHORED,
        "retinanet_config": {"nlayers": 10, "scales": "[0.18,0.3,0.45,0.6,0.8,0.95]", "feature_size": 64,
                             "pos_iou_thresh": 0.5},
    },
    "yolo_v3": {
        **_YOLO,
        "yolov3_config": {**_THREE, "arch_conv_blocks": 0, "matching_neutral_box_iou": 0.5, "loss_loc_weight": 2,
                          "loss_class_weights": 2, "loss_neg_obj_weights": 1},
    },
    "yolo_v4": {**_YOLO, "yolov4_config": _THREE},
    "yolo_v4_tiny": {**_YOLO, "yolov4_config": {"mid_anchor_shape": _SMALL, "big_anchor_shape": _BIG}},
}  # fmt: skip
"""What each network needs for images of that size."""

EVERY = "TAOD_EVERY_NETWORK" in os.environ
"""Whether slow tests run all networks, longer, instead of one; `make test-engine` sets it."""
CHOSEN = tuple(OWN) if EVERY else ("ssd",)


def changes(network: str, epochs: int) -> Document:
    """What to save over the default specification of a training."""
    high = 0.02 if network in ("ssd", "retinanet") else 0.002
    schedule = {"min_learning_rate": 1e-4, "max_learning_rate": high, "soft_start": 0.1, "annealing": 0.5}
    common: Document = {
        "dataset_config": {"target_class_mapping": [{"key": name, "value": name} for name in shapes.CLASSES]},
        "training_config": {
            "batch_size_per_gpu": 4, "num_epochs": epochs, "checkpoint_interval": epochs,
            "learning_rate": {"soft_start_annealing_schedule": schedule},
            "regularizer": {"type": "__NO_REG__", "weight": 3e-11},
        },
        "eval_config": {"validation_period_during_training": epochs},
    }  # fmt: skip
    return merge(common, OWN[network])


def document(network: str, epochs: int, train: Path, held_out: Path) -> Document:
    """The whole specification of a training, for the engine itself."""
    found: Document = merge(over_default(of(network), "train", {}), changes(network, epochs))
    for field, folder in (("data_sources", train), ("validation_data_sources", held_out)):
        source = {"image_directory_path": f"{folder}/images", "label_directory_path": f"{folder}/labels"}
        found["dataset_config"][field] = [source]
    return found
