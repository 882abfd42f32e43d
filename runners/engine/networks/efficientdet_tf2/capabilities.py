"""What the engine offers for efficientdet_tf2, as plain data. No heavy imports."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.core.offer import ENGINE, QAT, QUEUES, TRACKERS, Offer
from runners.engine.core.tf1 import NotNegative, Positive, Share
from runners.engine.detection import offers
from runners.engine.networks.efficientdet_tf1.capabilities import Model as Name

CATALOGUE_EXAMPLES = 120000
"""Default of `num_examples_per_epoch`; left at that, the images of the data count."""


class Optimizer(msgspec.Struct, frozen=True):
    name: Literal["sgd", "adam"] = "sgd"
    momentum: Share = 0.9


class Rates(msgspec.Struct, frozen=True):
    name: Literal["cosine", "soft_anneal"] = "cosine"
    warmup_epoch: NotNegative = 2
    warmup_init: NotNegative = 1e-4
    learning_rate: Annotated[float, Meta(gt=0)] = 0.2
    annealing_epoch: NotNegative = 5
    """soft_anneal: the last epochs, in which the rate falls."""


class Train(msgspec.Struct, frozen=True):
    optimizer: Optimizer = Optimizer()
    lr_schedule: Rates = Rates()
    num_examples_per_epoch: Positive = CATALOGUE_EXAMPLES
    batch_size: Positive = 8
    num_epochs: Positive = 20
    checkpoint: str | None = None
    random_seed: int = 42
    l1_weight_decay: NotNegative = 0.0
    l2_weight_decay: NotNegative = 4e-5
    amp: bool = True
    moving_average_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.9999
    """0 switches the average off."""
    clip_gradients_norm: NotNegative = 10.0
    """0 switches the limit off."""
    checkpoint_interval: Positive = 5
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    box_loss_weight: NotNegative = 50.0


class Model(msgspec.Struct, frozen=True):
    name: Name = "efficientdet-d0"
    aspect_ratios: str = "[(1.0,1.0),(1.4,0.7),(0.7,1.4)]"
    anchor_scale: Positive = 4
    min_level: Literal[3] = 3
    max_level: Literal[7] = 7
    num_scales: Positive = 3
    freeze_bn: bool = False
    freeze_blocks: list[int] = []
    input_width: int = 512
    input_height: int = 512


class Augmentation(msgspec.Struct, frozen=True):
    rand_hflip: bool = True
    random_crop_min_scale: Annotated[float, Meta(gt=0)] = 0.1
    random_crop_max_scale: Annotated[float, Meta(gt=0)] = 2.0


class Dataset(msgspec.Struct, frozen=True):
    train_tfrecords: list[str] = []
    val_tfrecords: list[str] = []
    val_json_file: str | None = None
    num_classes: Annotated[int, Meta(ge=2)] = 91
    max_instances_per_image: Positive = 100
    skip_crowd_during_training: bool = True
    augmentation: Augmentation = Augmentation()


class Evaluate(msgspec.Struct, frozen=True):
    batch_size: Positive = 16
    max_detections_per_image: Positive = 100
    checkpoint: str | None = None


class Export(msgspec.Struct, frozen=True):
    checkpoint: str | None = None
    onnx_file: str | None = None
    min_score_thresh: Share = 0.01


class Inference(msgspec.Struct, frozen=True):
    checkpoint: str | None = None
    image_dir: str | None = None
    batch_size: Positive = 1
    min_score_thresh: Share = 0.3


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    gpus: int | None = None
    train: Train = Train()
    model: Model = Model()
    dataset: Dataset = Dataset()
    evaluate: Evaluate = Evaluate()
    export: Export = Export()
    inference: Inference = Inference()


_DIRS = "TFRecords name the dataset whose images and annotations are read"
_TYPES = "the box loss is the Huber loss of the paper"
_NMS = "NMS drops what overlaps a better detection by more than 0.5, of the 1000 best"

OFFER = Offer(
    spec=Spec,
    actions=offers.UNPRUNED,
    similar=offers.EFFICIENTDET,
    rejected={
        "train.qat": QAT,
        "train.pruned_model_path": "the engine does not prune this network",
        "dataset.use_fake_data": "the engine trains on data",
        "dataset.augmentation.auto_color_distortion": "the engine does not have it",
        "dataset.augmentation.auto_translate_xy": "the engine does not have it",
    },
    without_effect={
        "train.init_epoch": "a resumed training continues from its checkpoint",
        "train.skip_checkpoint_variables": "weights that do not fit are left out",
        "train.image_preview": "no images are shown",
        "train.iou_loss_type": _TYPES,
        "train.iou_loss_weight": _TYPES,
        "train.wandb": TRACKERS,
        "train.clearml": TRACKERS,
        "dataset.train_dirs": _DIRS,
        "dataset.val_dirs": _DIRS,
        "dataset.loader": QUEUES,
        "evaluate.num_samples": "all images are measured",
        "evaluate.label_map": "the classes are the model's",
        "evaluate.max_nms_inputs": _NMS,
        "evaluate.sigma": _NMS,
        "evaluate.start_eval_epoch": "validations follow train.checkpoint_interval",
        "inference.label_map": "the classes are the model's",
        "inference.dump_label": "labels are always written",
        "inference.max_boxes_to_draw": "all boxes over the threshold are drawn",
        "export.batch_size": "the batch of the ONNX model is dynamic",
        "export.dynamic_batch_size": "the batch of the ONNX model is dynamic",
        "gen_trt_engine": ENGINE,
        **{
            f"{group}.results_dir": "the daemon sets results_dir"
            for group in ("train", "evaluate", "export", "inference")
        },
    },
)
