"""What the offers of detectors have in common: actions, and parameters without effect. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from runners.engine.core.offer import ENGINE, EXPORT, INT8, QAT, QUEUES, TRAINING, Offer
from runners.engine.core.tf1 import TRAINING_CONFIG, PrunedByOptions

_MODULES = ("torchvision", "timm", "pycocotools")

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "train": (*TRAINING, *_MODULES),
    "evaluate": (*TRAINING, *_MODULES, "onnxruntime"),
    "export": (*EXPORT, *_MODULES),
    "inference": (*TRAINING, *_MODULES, "onnxruntime"),
    "prune": (*TRAINING, *_MODULES, "torch_pruning"),
    "retrain": (*TRAINING, *_MODULES),
}
UNPRUNED = {name: modules for name, modules in ACTIONS.items() if name not in ("prune", "retrain")}
EFFICIENTDET = "the paper's BiFPN and heads on timm's EfficientNets, one lateral convolution a level"

_KEY = "the engine encrypts nothing"
_PLACE = "the daemon sets it"

EXPORTED: Mapping[str, str] = {
    "version": "it names the tool's own format",
    "verbose": "the log has one level",
    "key": _KEY,
    "results_dir": _PLACE,
    "gen_ds_config": ENGINE,
    "engine_file": ENGINE,
    "max_workspace_size": ENGINE,
    "min_batch_size": ENGINE,
    "opt_batch_size": ENGINE,
    "max_batch_size": ENGINE,
    "static_batch_size": "the batch of the ONNX model is dynamic",
    "target_opset": "the exporter's own opset is used",
    "strict_type_constraints": ENGINE,
    "cal_cache_file": ENGINE,
    "cal_data_file": ENGINE,
    "force_ptq": ENGINE,
}
"""Options of the TF1 tools' command lines without effect."""

_TF1_WITHOUT_EFFECT: Mapping[str, str] = {
    "experiment_spec_file": _PLACE,
    "experiment_spec": _PLACE,
    "experiment_spec_path": _PLACE,
    "initial_epoch": "a resumed training continues from its checkpoint",
    "use_multiprocessing": QUEUES,
    **TRAINING_CONFIG,
    "training_config.cost_scaling": "the precision decides it",
    "augmentation_config.randomize_input_shape_period": "the input keeps its size",
    "dataset_config.include_difficult_in_training": "KITTI and COCO mark no object as difficult",
    "dataset_config.data_sources.source_weight": "all data count the same",
    "dataset_config.validation_data_sources.source_weight": "all data count the same",
    "dataset_config.image_extension": "the images' own names are read",
    "dataset_config.type": "the format is found by the dataset's files",
    "dataset_config.validation_fold": "there are no folds; assign an evaluation dataset",
    "eval_config.visualize_pr_curve": "no curve is drawn",
    "nms_config.infer_nms_score_bits": "scores are float32",
    "nms_config.force_on_cpu": "NMS runs where the model runs",
    **EXPORTED,
}

_TF1_REJECTED: Mapping[str, str] = {"training_config.enable_qat": QAT}


def tf1(
    spec: type[PrunedByOptions],
    similar: str,
    *,
    prunes: bool = True,
    rejected: Mapping[str, str] = {},
    without_effect: Mapping[str, str] = {},
) -> Offer:
    """The offer of a detector of the TF1 tools. `similar`: what its model is, and how the tool's differs."""
    return Offer(
        spec=spec,
        actions=ACTIONS if prunes else UNPRUNED,
        without_effect={**_TF1_WITHOUT_EFFECT, **without_effect},
        rejected={**_TF1_REJECTED, **rejected},
        only=INT8,
        similar=similar,
    )
