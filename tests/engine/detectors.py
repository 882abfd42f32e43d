"""Specifications of detectors that train within seconds on the shapes of `tests.e2e.shapes`."""

from __future__ import annotations

import os
from pathlib import Path

from taod.catalogue.network import get_network
from taod.catalogue.schema import classwise
from taod.catalogue.schema.merge import merge, over_default
from taod.catalogue.specfiles.emit import protobuf_text
from taod.documents import Document
from tests.e2e import shapes

_LEAST = 160
"""The smallest side of inputs that the specification of faster_rcnn has."""
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
    "dssd": {**_ANCHORED, "dssd_config": {**_MULTIBOX, "pred_num_channels": 128}},
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
    "faster_rcnn": {
        "augmentation_config": {
            "preprocessing": {"output_image_width": _LEAST, "output_image_height": _LEAST},
            "spatial_augmentation": {"zoom_min": 0.8, "zoom_max": 1.2, "translate_max_x": 8, "translate_max_y": 8},
        },
        "model_config": {
            "arch": "resnet:10", "freeze_bn": False, "roi_mini_batch": 32,
            "input_image_config": {
                "size_height_width": {"width": _LEAST, "height": _LEAST}, "image_scaling_factor": 58,
            },
            "anchor_box_config": {"scale": [32, 48, 72], "ratio": [1]},
        },
        "training_config": {
            "learning_rate": {"soft_start": {"base_lr": 0.02, "start_lr": 0.002}}, "gt_as_roi": True,
            "rpn_pre_nms_top_N": 200, "rpn_nms_max_boxes": 60, "rpn_mini_batch": 64,
        },
    },
}  # fmt: skip
"""What each network needs for images of that size."""


def _grid(epochs: int) -> Document:
    """detectnet_v2, whose specification is its own; cells are 16 pixels wide, so the images are enlarged."""
    sizes = {"minimum_height": 4, "minimum_width": 4, "maximum_height": 9999, "maximum_width": 9999}
    value = {"evaluation_config": {"minimum_detection_ground_truth_overlap": 0.5, "evaluation_box_config": sizes}}
    clustering = {
        "coverage_threshold": 0.005,
        "minimum_bounding_box_height": 4,
        "dbscan_eps": 0.3,
        "dbscan_min_samples": 1,
        "dbscan_confidence_threshold": 0.01,
    }
    schedule = {"min_learning_rate": 1e-4, "max_learning_rate": 0.004, "soft_start": 0.1, "annealing": 0.5}
    return {
        "augmentation_config": {
            "preprocessing": {"output_image_width": 2 * shapes.SIDE, "output_image_height": 2 * shapes.SIDE},
            "color_augmentation": {"hue_rotation_max": 6},
        },
        "model_config": {"num_layers": 10},
        "training_config": {
            "num_epochs": epochs, "checkpoint_interval": epochs, "batch_size_per_gpu": 4,
            "learning_rate": {"soft_start_annealing_schedule": schedule},
        },
        "evaluation_config": {"first_validation_epoch": epochs},
        "dataset_config": {"target_class_mapping": [{"key": name, "value": name} for name in shapes.CLASSES]},
        "classwise_config": [
            {"key": name, "value": value, "postprocessing_config": {"clustering_config": clustering}}
            for name in shapes.CLASSES
        ],
    }  # fmt: skip


EVERY = "TAOD_EVERY_NETWORK" in os.environ
"""Whether slow tests run all networks, longer, instead of one; `make test-engine` sets it."""
EPOCHS = {"yolo_v3": 14, "faster_rcnn": 4, "detectnet_v2": 8}
"""Those that need another number than the rest: yolo_v3 has a single positive anchor an object."""
NETWORKS = (*OWN, "detectnet_v2")
CHOSEN = NETWORKS if EVERY else ("ssd",)
CHEAP = NETWORKS if EVERY else ("ssd", "dssd")
"""Of the quickest tests."""


def changes(network: str, epochs: int) -> Document:
    """What to save over the default specification of a training."""
    if network == "detectnet_v2":
        return _grid(epochs)
    high = 0.02 if network in ("ssd", "dssd", "retinanet") else 0.002
    schedule = {"min_learning_rate": 1e-4, "max_learning_rate": high, "soft_start": 0.1, "annealing": 0.5}
    common: Document = {
        "dataset_config": {"target_class_mapping": [{"key": name, "value": name} for name in shapes.CLASSES]},
        "training_config": {
            "batch_size_per_gpu": 4, "num_epochs": epochs, "checkpoint_interval": epochs,
            "regularizer": {"type": "__NO_REG__", "weight": 3e-11},
        },
    }  # fmt: skip
    if network == "faster_rcnn":
        common["evaluation_config"] = {"validation_period_during_training": epochs}
    else:
        common["eval_config"] = {"validation_period_during_training": epochs}
        common["training_config"]["learning_rate"] = {"soft_start_annealing_schedule": schedule}
    return merge(common, OWN[network])


def document(network: str, epochs: int, train: Path, held_out: Path, side: int) -> Document:
    """The whole specification of a training, for the engine itself; inputs of `side` (detectnet_v2: twice that) where
    the network has them."""
    found: Document = merge(over_default(get_network(network), "train", {}), changes(network, epochs))
    first, second = ({"image_directory_path": f"{folder}/images", "label_directory_path": f"{folder}/labels"}
                     for folder in (train, held_out))  # fmt: skip
    found["dataset_config"]["data_sources"] = [first]
    if network in ("faster_rcnn", "detectnet_v2"):
        found["dataset_config"]["validation_data_source"] = second
        found["dataset_config"].pop("validation_fold", None)
        if network == "detectnet_v2":
            sizes = {"output_image_width": 2 * side, "output_image_height": 2 * side}
            found["augmentation_config"]["preprocessing"] |= sizes
        return found
    found["dataset_config"]["validation_data_sources"] = [second]
    found["augmentation_config"] |= {"output_width": side, "output_height": side}
    return found


def inference(network: str, images: Path) -> Document:
    """Overrides of an inference that draws nearly all that it finds."""
    if network == "faster_rcnn":
        return {"inference_config.images_dir": images, "inference_config.bbox_visualize_threshold": 0.01}
    return {"image_dir": images, **({} if network == "detectnet_v2" else {"threshold": 0.01})}


def begin_with(document: Document, path: Path) -> None:
    """Let a training start from a pruned model."""
    if "model_config" in document:
        document["model_config"]["pretrained_model_file"] = str(path)
    else:
        document["training_config"]["pruned_model_path"] = str(path)


def deepen(document: Document, layers: int) -> None:
    """Let the backbone have so many layers."""
    for name in ("ssd_config", "dssd_config", "retinanet_config", "yolov3_config", "yolov4_config"):
        if name in document:
            document[name]["nlayers"] = layers
    if "model_config" in document:
        document["model_config"]["num_layers"] = layers


def text(document: Document, action: str = "train") -> str:
    """The specification file of an action; detectnet_v2's inference has one of its own."""
    if action == "inference" and "classwise_config" in document:
        clustering = {"dbscan_confidence_threshold": 0.001, "coverage_threshold": 0.0001}
        handler = [{"key": "default", "value": {"clustering_config": clustering, "output_map": "thing"}}]
        document = {"bbox_handler_config": {"kitti_dump": True, "classwise_bbox_handler_config": handler}}
    return protobuf_text(classwise.split({key: one for key, one in document.items() if key.endswith("_config")}))
