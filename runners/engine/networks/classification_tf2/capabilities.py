"""What the engine offers for classification_tf2, as plain data. No heavy imports."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.classification import offers, settings
from runners.engine.classification.settings import Norms, Rate, Shape
from runners.engine.core.offer import QAT, QUEUES, TRACKERS, Offer
from runners.engine.core.tf1 import NotNegative, Positive, Pruning, Share
from runners.engine.spec import convert
from taod.documents import Document

CATALOGUE_CLASSES = 20
"""Default of `dataset.num_classes`; left at that, the classes of the data count."""


class Regularisation(msgspec.Struct, frozen=True):
    type: str = "L2"
    scope: tuple[str, ...] = ("conv2d", "dense")
    weight_decay: NotNegative = 5e-5


class Optimisation(msgspec.Struct, frozen=True):
    optimizer: Literal["sgd", "adam", "rmsprop"] = "sgd"
    lr: Rate = 0.05
    decay: NotNegative = 1e-4
    epsilon: Rate = 1e-4
    rho: Share = 0.5
    beta_1: Share = 0.99
    beta_2: Share = 0.99
    momentum: Share = 0.99
    nesterov: bool = True


class Rates(msgspec.Struct, frozen=True):
    """`train.lr_config`, which the table of this release leaves out; without it the rate is the optimiser's."""

    scheduler: Literal["cosine", "soft_anneal", "step"] = "cosine"
    learning_rate: Rate = 0.05
    soft_start: Share = 0.05
    annealing_points: tuple[Share, ...] = (0.33, 0.66, 0.88)
    annealing_divider: Rate = 10
    min_lr_ratio: Share = 3e-5
    gamma: Rate = 0.1
    step_size: Rate = 10


class Train(msgspec.Struct, frozen=True):
    batch_size_per_gpu: Positive = 64
    num_epochs: Positive = 80
    checkpoint_interval: Positive = 1
    random_seed: Annotated[int, Meta(ge=0)] = 42
    checkpoint: str | None = None
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.01
    reg_config: Regularisation = Regularisation()
    bn_config: Norms = Norms()
    optim_config: Optimisation = Optimisation()
    lr_config: Rates | None = None


class Augmentation(msgspec.Struct, frozen=True):
    enable_random_crop: bool = True
    enable_center_crop: bool = True
    enable_color_augmentation: bool = False
    disable_horizontal_flip: bool = False
    mixup_alpha: NotNegative = 0.0


class Dataset(msgspec.Struct, frozen=True):
    train_dataset_path: str | None = None
    val_dataset_path: str | None = None
    preprocess_mode: Literal["caffe", "torch", "tf"] = "caffe"
    num_classes: Positive = CATALOGUE_CLASSES
    image_mean: list[float] = []
    """Blue first."""
    augmentation: Augmentation = Augmentation()


class Model(msgspec.Struct, frozen=True):
    backbone: str = "efficientnet-b0"
    input_width: Annotated[int, Meta(ge=32)] = 224
    input_height: Annotated[int, Meta(ge=32)] = 224
    input_channels: Literal[1, 3] = 3
    freeze_bn: bool = False
    freeze_blocks: list[int] = []
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    resize_interpolation_method: Literal["bilinear", "bicubic"] = "bilinear"


class Evaluate(msgspec.Struct, frozen=True):
    dataset_path: str | None = None
    checkpoint: str | None = None
    batch_size: Positive = 1
    top_k: Positive = 3


class Export(msgspec.Struct, frozen=True):
    checkpoint: str | None = None
    onnx_file: str | None = None


class Inference(msgspec.Struct, frozen=True):
    checkpoint: str | None = None
    image_dir: str | None = None


class Prune(Pruning, frozen=True):
    checkpoint: str | None = None


class Spec(msgspec.Struct, frozen=True):
    """The whole document."""

    train: Train = Train()
    dataset: Dataset = Dataset()
    model: Model = Model()
    evaluate: Evaluate = Evaluate()
    export: Export = Export()
    prune: Prune = Prune()
    inference: Inference = Inference()
    gpus: int | None = None


def shape(spec: Spec) -> Shape:
    """Raises SpecError naming the field."""
    model = spec.model
    found = Shape(
        settings.backbone(model.backbone, None, "model.backbone"),
        model.input_channels,
        model.input_height,
        model.input_width,
        model.dropout,
        model.freeze_blocks,
        model.freeze_bn,
        spec.train.bn_config,
    )
    return settings.checked(found, "model.input_channels")


def check(action: str, document: Document) -> None:
    """Raise SpecError for a model that the engine does not have."""
    if action in ("train", "retrain"):
        shape(convert(document, Spec))


OFFER = Offer(
    spec=Spec,
    actions=offers.ACTIONS,
    check=check,
    similar=offers.SIMILAR,
    only={"model.input_image_depth": (8,)},
    rejected={
        "train.qat": QAT,
        "model.byom_model_path": offers.BYOM,
        "prune.byom_model_path": offers.BYOM,
    },
    without_effect={
        "data_format": "the engine's own layout is used",
        "train.n_workers": QUEUES,
        "train.wandb": TRACKERS,
        "train.clearml": TRACKERS,
        "model.use_batch_norm": offers.NORMS,
        "model.use_bias": offers.NORMS,
        "model.use_pooling": offers.NORMS,
        "model.all_projections": offers.NORMS,
        "model.activation_type": offers.NORMS,
        "model.retain_head": offers.HEAD,
        "evaluate.n_workers": QUEUES,
        "evaluate.classmap": offers.CLASSES,
        "inference.classmap": offers.CLASSES,
        **{
            f"{group}.results_dir": "the daemon sets results_dir"
            for group in ("evaluate", "prune", "export", "inference")
        },
    },
)
