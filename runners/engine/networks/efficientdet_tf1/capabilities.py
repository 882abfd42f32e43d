"""What the engine offers for efficientdet_tf1, as plain data. No heavy imports."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.core.offer import Offer
from runners.engine.core.tf1 import NotNegative, Positive, Share
from runners.engine.detection import offers
from runners.engine.spec import CommandLine

CATALOGUE_EXAMPLES = 118288
"""Default of `num_examples_per_epoch`; left at that, the images of the data count."""
Model = Literal[
    "efficientdet-d0", "efficientdet-d1", "efficientdet-d2", "efficientdet-d3", "efficientdet-d4", "efficientdet-d5"
]


class AugmentationConfig(msgspec.Struct, frozen=True):
    rand_hflip: bool = True
    random_crop_min_scale: Annotated[float, Meta(gt=0)] = 0.1
    random_crop_max_scale: Annotated[float, Meta(gt=0)] = 2.0


class DatasetConfig(msgspec.Struct, frozen=True):
    training_file_pattern: str | None = None
    validation_file_pattern: str | None = None
    validation_json_file: str | None = None
    image_size: str = "736,1280"
    num_classes: Annotated[int, Meta(ge=2)] = 91
    max_instances_per_image: Positive = 100
    skip_crowd_during_training: bool = True


class EvalConfig(msgspec.Struct, frozen=True):
    eval_batch_size: Positive = 8
    eval_epoch_cycle: Positive = 2
    max_detections_per_image: Positive = 100
    min_score_thresh: Share = 0.4


class ModelConfig(msgspec.Struct, frozen=True):
    model_name: Model = "efficientdet-d0"
    min_level: Literal[3] = 3
    max_level: Literal[7] = 7
    anchor_scale: Annotated[float, Meta(gt=0)] = 4.0
    num_scales: Positive = 3
    aspect_ratios: str = "[(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)]"


class TrainingConfig(msgspec.Struct, frozen=True):
    train_batch_size: Positive = 8
    num_epochs: Positive = 6
    num_examples_per_epoch: Positive = CATALOGUE_EXAMPLES
    checkpoint: str | None = None
    checkpoint_period: Positive = 2
    amp: bool = True
    moving_average_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.9999
    """0 switches the average off."""
    l1_weight_decay: NotNegative = 0.0
    l2_weight_decay: NotNegative = 4e-5
    learning_rate: Annotated[float, Meta(gt=0)] = 2e-5
    lr_warmup_epoch: NotNegative = 1.0
    lr_warmup_init: NotNegative = 2e-4
    clip_gradients_norm: NotNegative = 5.0
    """0 switches the limit off."""
    tf_random_seed: int = 42


class Spec(CommandLine, frozen=True, kw_only=True):
    model_dir: str | None = None
    """The results, which the daemon names."""
    augmentation_config: AugmentationConfig = AugmentationConfig()
    dataset_config: DatasetConfig = DatasetConfig()
    eval_config: EvalConfig = EvalConfig()
    model_config: ModelConfig = ModelConfig()
    training_config: TrainingConfig = TrainingConfig()
    output_path: str | None = None
    threshold: Share | None = None


OFFER = Offer(
    spec=Spec,
    actions=offers.UNPRUNED,
    similar=offers.EFFICIENTDET,
    rejected={
        "training_config.pruned_model_path": "the engine does not prune this network",
        "data_type": "EfficientDet loses most of its precision in INT8, and the engine exports no FP16; set it to fp32",
    },
    without_effect={
        "experiment_spec": "the daemon sets it",
        "experiment_spec_file": "the daemon sets it",
        "eval_config.eval_samples": "all images are measured",
        "training_config.iterations_per_loop": "the engine reports as it goes",
        "training_config.skip_checkpoint_variables": "weights that do not fit are left out",
        **offers.EXPORTED,
    },
)
