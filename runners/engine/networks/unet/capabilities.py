"""What the engine offers for unet, as plain data: its specification, and what has no effect. No heavy imports."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.core.offer import EXPORT, INT8, QAT, TRAINING, Offer
from runners.engine.spec import Calibrated

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]


class TargetClass(msgspec.Struct, frozen=True):
    name: str
    label_id: Annotated[int, Meta(ge=0, le=255)] = 0
    mapping_class: str = ""


class DataClasses(msgspec.Struct, frozen=True):
    target_classes: list[TargetClass] = []


class Spatial(msgspec.Struct, frozen=True):
    hflip_probability: Share = 0.0
    vflip_probability: Share = 0.0
    crop_and_resize_prob: Share = 0.0


class Brightness(msgspec.Struct, frozen=True):
    delta: Share = 0.0


class Augmentation(msgspec.Struct, frozen=True):
    spatial_augmentation: Spatial = Spatial()
    brightness_augmentation: Brightness = Brightness()


class Dataset(msgspec.Struct, frozen=True):
    augment: bool = False
    filter_data: bool = False
    resize_padding: bool = False
    resize_method: Literal["BILINEAR", "NEAREST_NEIGHBOR", "BICUBIC", "AREA"] = "BILINEAR"
    input_image_type: Literal["color", "grayscale"] = "color"
    train_images_path: str | None = None
    train_masks_path: str | None = None
    val_images_path: str | None = None
    val_masks_path: str | None = None
    test_images_path: str | None = None
    data_class_config: DataClasses = DataClasses()
    augmentation_config: Augmentation = Augmentation()


class Model(msgspec.Struct, frozen=True):
    arch: str = "resnet"
    num_layers: int = 18
    freeze_bn: bool = False
    freeze_blocks: list[Annotated[int, Meta(ge=0, le=4)]] = []
    model_input_height: Positive = 320
    model_input_width: Positive = 320
    model_input_channels: Literal[1, 3] = 1


class Regularizer(msgspec.Struct, frozen=True):
    type: Literal["NO_REG", "L1", "L2"] = "NO_REG"
    weight: Annotated[float, Meta(ge=0)] = 0.0


class Adam(msgspec.Struct, frozen=True):
    epsilon: Annotated[float, Meta(gt=0)] = 1e-8
    beta1: Share = 0.9
    beta2: Share = 0.999


class OptimizerChoice(msgspec.Struct, frozen=True):
    adam: Adam = Adam()


class ExponentialDecay(msgspec.Struct, frozen=True):
    decay_rate: Annotated[float, Meta(gt=0)] = 0.96
    decay_steps: Positive = 1000


class CosineDecay(msgspec.Struct, frozen=True):
    alpha: Share = 0.01
    decay_steps: Positive = 1000


class Scheduler(msgspec.Struct, frozen=True):
    exponential_decay: ExponentialDecay | None = None
    cosine_decay: CosineDecay | None = None


class Training(msgspec.Struct, frozen=True):
    batch_size: Positive = 3
    epochs: Positive = 50
    log_summary_steps: Positive = 10
    checkpoint_interval: Positive = 1
    loss: Literal["cross_entropy", "cross_dice_sum", "dice"] = "cross_entropy"
    learning_rate: Annotated[float, Meta(gt=0)] = 1e-4
    lr_scheduler: Scheduler = Scheduler()
    regularizer: Regularizer = Regularizer()
    optimizer: OptimizerChoice = OptimizerChoice()


class Spec(Calibrated, frozen=True):
    """The whole document, with the options of the command line at its top."""

    random_seed: Annotated[int, Meta(ge=0)] = 42
    dataset_config: Dataset = Dataset()
    model_config: Model = Model()
    training_config: Training = Training()
    pretrained_model_file: str | None = None
    use_amp: bool = False
    gpus: int = 1
    batch_size: Positive = 1
    label_dir: str | None = None
    model_path: str | None = None
    model: str | None = None
    output_file: str | None = None


_TRT = "it is for a TensorRT engine, which the export of the embedded engine does not build"
_LOGS = "the engine writes its metrics to status.json only"
OFFER = Offer(
    spec=Spec,
    actions={
        "train": (*TRAINING, "segmentation_models_pytorch"),
        "evaluate": (*TRAINING, "segmentation_models_pytorch", "onnxruntime"),
        "inference": (*TRAINING, "segmentation_models_pytorch", "onnxruntime"),
        "export": (*EXPORT, "segmentation_models_pytorch"),
    },
    similar="encoders of segmentation_models_pytorch; its decoder has two convolutions with batch norm a step",
    only={
        **INT8,
        "model_config.arch": (
            "resnet",
            "vgg",
            "efficientnet_b0",
            "vanilla_unet",
            "vanilla_dynamic",
            "vanilla_unet_dynamic",
        ),
        "model_config.num_layers": (16, 18, 19, 34, 50, 101),
        "model_config.model_input_channels": (1, 3),
    },
    rejected={
        "model_config.byom_model": "a model of one's own in TensorFlow cannot be read; use another arch",
        "model_config.enable_qat": QAT,
    },
    without_effect={
        "dataset_config.dataset": "the folders say all of the data",
        "dataset_config.buffer_size": "the engine shuffles all of the data",
        "dataset_config.data_sources": "the folders of dataset_config are read",
        "augmentation_config": "dataset_config.augmentation_config is read",
        "model_config.load_graph": "a pruned model brings its shape with it",
        "model_config.all_projections": "the encoder is a standard one",
        "model_config.use_pooling": "the encoder is a standard one",
        "model_config.use_batch_norm": "the encoder has batch norms; freeze_bn keeps them as they are",
        "model_config.dropout_rate": "the encoder is a standard one, without dropout",
        "model_config.training_precision": "use_amp decides",
        "model_config.initializer": "weights are drawn as torch does",
        "training_config.weights_monitor": _LOGS,
        "training_config.visualizer": _LOGS,
        "training_config.data_options": "data are always shuffled and augmented in parallel",
        "max_workspace_size": _TRT,
        "max_batch_size": _TRT,
        "min_batch_size": _TRT,
        "opt_batch_size": _TRT,
        "gen_ds_config": _TRT,
        "engine_file": _TRT,
        "experiment_spec": "the command line names the file itself",
        "strict_type_constraints": _TRT,
        "cal_cache_file": _TRT,
    },
)
