"""Specifications of detectors that learn from COCO annotations, for the shapes of `tests.e2e.shapes`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from taod.catalogue.network import get_network
from taod.catalogue.schema.merge import merge, over_default
from taod.documents import Document
from tests.engine.detectors import EVERY


class Case(NamedTuple):
    """A network: its specification for such small images, and what it is measured by."""

    changes: Document
    """Over the default specification of a training, `EPOCHS` for the number of epochs."""
    kpi: str
    """The KPI of an evaluation."""
    trained: str
    """The KPI of a training."""
    images: int = 80
    epochs: int = 6
    least: float = 0.1
    """What is demanded of the KPI after so many epochs over so many images."""
    weights: str = "weights/model.epoch-{}.pth"
    dataset: str = "object_detection"


EPOCHS = -1


CASES = {
    "mask_rcnn": Case(
        changes={
            "data_config": {"image_size": "(64,64)"},
            "maskrcnn_config": {
                "nlayers": 10, "freeze_bn": False, "freeze_blocks": "[]", "anchor_scale": 4, "gt_mask_size": 28,
                "mrcnn_resolution": 14, "batch_size_per_im": 16, "rpn_batch_size_per_im": 64,
                "fast_rcnn_mlp_head_dim": 128, "train_rpn_pre_nms_topn": 100, "train_rpn_post_nms_topn": 50,
                "test_rpn_pre_nms_topn": 100, "test_rpn_post_nms_topn": 30, "test_detections_per_image": 10,
            },
            "train_batch_size": 4, "num_epochs": EPOCHS, "init_learning_rate": 0.02, "warmup_steps": 10,
            "num_steps_per_eval": 100000,
        },
        kpi="mask_AP50", trained="mask_AP50", epochs=5, dataset="instance_segmentation",
    ),
    "efficientdet_tf1": Case(
        changes={
            "dataset_config": {"image_size": "128,128"},
            "augmentation_config": {"random_crop_min_scale": 0.9, "random_crop_max_scale": 1.1},
            "model_config": {"anchor_scale": 3},
            "training_config": {
                "train_batch_size": 4, "num_epochs": EPOCHS, "checkpoint_period": EPOCHS, "learning_rate": 0.08,
                "lr_warmup_init": 0.008, "moving_average_decay": 0.9, "num_examples_per_epoch": 118288,
            },
            "eval_config": {"eval_epoch_cycle": EPOCHS},
        },
        kpi="AP50", trained="AP50", epochs=10, least=0.05,
    ),
    "efficientdet_tf2": Case(
        changes={
            "model": {"input_width": 128, "input_height": 128, "anchor_scale": 3},
            "dataset": {"augmentation": {"random_crop_min_scale": 0.9, "random_crop_max_scale": 1.1}},
            "train": {
                "batch_size": 4, "num_epochs": EPOCHS, "checkpoint_interval": EPOCHS, "moving_average_decay": 0.9,
                "optimizer": {"name": "adam"},
                "lr_schedule": {"learning_rate": 0.004, "warmup_epoch": 1, "warmup_init": 0.0004},
            },
        },
        kpi="AP50", trained="AP50", epochs=14, least=0.05, weights="weights/model_epoch_{}.pth",
    ),
}  # fmt: skip

CHOSEN = tuple(CASES) if EVERY else ("mask_rcnn",)


def changes(network: str, epochs: int) -> Document:
    """What to save over the default specification of a training."""
    found: Document = _counted(CASES[network].changes, epochs)
    return found


def _counted(value: object, epochs: int) -> object:
    if isinstance(value, dict):
        return {key: _counted(inner, epochs) for key, inner in value.items()}
    return epochs if value == EPOCHS and isinstance(value, int) else value


def weights(network: str, epoch: int) -> str:
    """An epoch's checkpoint below the results."""
    return CASES[network].weights.format(epoch)


def document(network: str, epochs: int, train: Path, held_out: Path) -> Document:
    """The whole specification of a training, for the engine itself."""
    found: Document = merge(over_default(get_network(network), "train", {}), changes(network, epochs))
    return merge(found, _data(network, train, held_out))


def _data(network: str, train: Path, held_out: Path) -> Document:
    records, annotations = f"{train}/tfrecords/*.tfrecord", f"{held_out}/annotations.json"
    if network == "mask_rcnn":
        return {"data_config": {"training_file_pattern": records, "val_json_file": annotations}}
    if network == "efficientdet_tf1":
        return {"dataset_config": {"training_file_pattern": records, "validation_json_file": annotations}}
    return {"dataset": {"train_tfrecords": [records], "val_json_file": annotations}}


def options(network: str, action: str, **given: Path) -> Document:
    """Overrides of an action: `model`, `onnx` and `images` where it has them; `calibrated`: of an export in INT8."""
    if network == "efficientdet_tf2":
        found: Document = {f"{action}.checkpoint": given["model"]}
        if action == "export":
            found["export.onnx_file"] = given["onnx"]
        if action == "inference":
            found |= {"inference.image_dir": given["images"], "inference.min_score_thresh": 0.0}
        return found
    if action == "export":
        names = ("model_path", "output_path") if network == "efficientdet_tf1" else ("model", "output_file")
        found = dict(zip(names, (given["model"], given["onnx"]), strict=True))
        if "calibrated" in given:
            found |= {"data_type": "int8", "cal_image_dir": given["calibrated"], "batch_size": 4}
        return found
    if action == "inference":
        return {"model_path": given["model"], "image_dir": given["images"], "threshold": 0.0}
    return {"model_path": given["model"]}
