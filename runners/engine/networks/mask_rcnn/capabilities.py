"""What the engine offers for mask_rcnn, as plain data. No heavy imports."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.core.offer import INT8, QUEUES, TRACKERS, Offer
from runners.engine.core.tf1 import NotNegative, Positive, Share
from runners.engine.detection import offers
from runners.engine.spec import CommandLine

CATALOGUE_CLASSES = 91
"""Default of `num_classes`, the background included; left at that, the classes of the data count."""
CATALOGUE_EXAMPLES = 118288
"""Default of `num_examples_per_epoch`; left at that, the images of the data count."""


class DataConfig(msgspec.Struct, frozen=True):
    training_file_pattern: str | None = None
    validation_file_pattern: str | None = None
    val_json_file: str | None = None
    image_size: str = "(832,1344)"
    num_classes: Annotated[int, Meta(ge=2)] = CATALOGUE_CLASSES
    augment_input_data: bool = True
    max_num_instances: Positive = 200
    skip_crowd_during_training: bool = True


class MaskRcnnConfig(msgspec.Struct, frozen=True):
    nlayers: Literal[10, 18, 34, 50, 101] = 18
    arch: Literal["resnet"] = "resnet"
    freeze_bn: bool = True
    freeze_blocks: str = "[0,1]"
    gt_mask_size: Annotated[int, Meta(ge=14)] = 112
    min_level: Literal[2] = 2
    max_level: Literal[6] = 6
    anchor_scale: Positive = 8
    num_scales: Positive = 1
    aspect_ratios: str = "[(1.0,1.0),(1.4,0.7),(0.7,1.4)]"
    rpn_positive_overlap: Share = 0.7
    rpn_negative_overlap: Share = 0.3
    rpn_batch_size_per_im: Positive = 256
    rpn_fg_fraction: Share = 0.5
    rpn_min_size: NotNegative = 0.0
    batch_size_per_im: Positive = 512
    fg_fraction: Share = 0.25
    fg_thresh: Share = 0.5
    bg_thresh_hi: Share = 0.5
    bg_thresh_lo: Share = 0.0
    fast_rcnn_mlp_head_dim: Positive = 1024
    bbox_reg_weights: str = "(10.,10.,5.,5.)"
    mrcnn_resolution: Annotated[int, Meta(ge=14)] = 28
    train_rpn_pre_nms_topn: Positive = 2000
    train_rpn_post_nms_topn: Positive = 1000
    train_rpn_nms_threshold: Share = 0.7
    test_rpn_pre_nms_topn: Positive = 1000
    test_rpn_post_nms_topn: Positive = 1000
    test_rpn_nms_thresh: Share = 0.7
    test_detections_per_image: Positive = 100
    test_nms: Share = 0.5
    rpn_box_loss_weight: NotNegative = 1.0
    fast_rcnn_box_loss_weight: NotNegative = 1.0
    mrcnn_weight_loss_mask: NotNegative = 1.0


class Spec(CommandLine, frozen=True, kw_only=True):
    model_dir: str | None = None
    """The results, which the daemon names."""
    seed: int = 123
    checkpoint: str | None = None
    data_config: DataConfig = DataConfig()
    maskrcnn_config: MaskRcnnConfig = MaskRcnnConfig()
    train_batch_size: Positive = 2
    eval_batch_size: Positive = 4
    num_epochs: Annotated[int, Meta(ge=0)] = 10
    """0: `total_steps` counts."""
    total_steps: Positive = 250000
    num_examples_per_epoch: Positive = CATALOGUE_EXAMPLES
    num_steps_per_eval: Positive = 5000
    """Steps after which a checkpoint is written and the model is measured."""
    init_learning_rate: Annotated[float, Meta(gt=0)] = 0.005
    warmup_learning_rate: NotNegative = 1e-4
    warmup_steps: Annotated[int, Meta(ge=0)] = 10000
    learning_rate_steps: str = "[100000,150000,200000]"
    learning_rate_decay_levels: str = "[0.1,0.02,0.01]"
    momentum: Share = 0.9
    l1_weight_decay: NotNegative = 0.0
    l2_weight_decay: NotNegative = 4e-5
    threshold: Share = 0.3
    include_mask: bool = True
    """Whether an inference draws masks."""


OFFER = Offer(
    spec=Spec,
    actions=offers.UNPRUNED,
    similar="torchvision's heads and feature pyramid on timm's ResNets",
    rejected={
        "pruned_model_path": "the engine does not prune this network",
        "maskrcnn_config.include_mask": "without masks, faster_rcnn is the network to train",
    },
    only=INT8,
    without_effect={
        "experiment_spec": "the daemon sets it",
        "experiment_spec_file": "the daemon sets it",
        "skip_checkpoint_variables": "weights that do not fit are left out",
        "data_config.eval_samples": "all images are measured",
        "data_config.n_workers": QUEUES,
        "data_config.prefetch_buffer_size": QUEUES,
        "data_config.shuffle_buffer_size": "all images are shuffled",
        "wandb_config": TRACKERS,
        "clearml_config": TRACKERS,
        **offers.EXPORTED,
    },
)
