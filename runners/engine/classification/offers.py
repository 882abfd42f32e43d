"""What the offers of the tools' older classifiers have in common: actions, and parameters without effect. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from runners.engine.core.offer import EXPORT, TRAINING

_MODULES = ("torchvision", "timm")

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "train": (*TRAINING, *_MODULES),
    "evaluate": (*TRAINING, *_MODULES, "onnxruntime"),
    "export": (*EXPORT, *_MODULES),
    "inference": (*TRAINING, *_MODULES, "onnxruntime"),
    "prune": (*TRAINING, *_MODULES, "torch_pruning"),
    "retrain": (*TRAINING, *_MODULES),
}

SIMILAR = (
    "timm's backbones (squeezenet, googlenet and alexnet: torchvision's) with the mean of their last features and one "
    "linear layer"
)
QUEUES = "the engine reads data with its own workers"
TRACKERS = "the engine reports to taod alone"
NORMS = "the backbone has the norms, biases and poolings of its paper"
HEAD = "the head is one linear layer for the classes of the data"
CLASSES = "the model knows its classes"
ENGINE = "the engine exports ONNX; TensorRT's settings are those of gen_trt_engine"
BYOM = "a model of one's own in TensorFlow cannot be read; use another backbone"

TF1_MODEL: Mapping[str, str] = {
    f"model_config.{name}": NORMS
    for name in ("use_batch_norm", "use_bias", "use_pooling", "all_projections", "activation")
}
TF1_EXPORT: Mapping[str, str] = {
    "static_batch_size": "the batch of the ONNX model is dynamic",
    "experiment_spec": "the command line names the file itself",
    "classmap_json": CLASSES,
    **dict.fromkeys(
        (
            "force_ptq",
            "cal_image_dir",
            "strict_type_constraints",
            "gen_ds_config",
            "cal_cache_file",
            "batches",
            "max_workspace_size",
            "max_batch_size",
            "min_batch_size",
            "opt_batch_size",
            "engine_file",
        ),
        ENGINE,
    ),
}
TF1_ONLY_EXPORT = ("static_batch_size", "experiment_spec", "classmap_json", "min_batch_size", "opt_batch_size")
"""Of classification_tf1 alone."""
ONLY: Mapping[str, tuple[object, ...]] = {"data_type": ("fp32",)}
