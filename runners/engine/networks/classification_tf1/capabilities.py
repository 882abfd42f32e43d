"""What the engine offers for classification_tf1, as plain data. No heavy imports."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.classification import offers
from runners.engine.classification.settings import LrConfig, Optimizer, Tf1Spec
from runners.engine.core.offer import ENGINE, QUEUES, TRACKERS
from runners.engine.core.tf1 import NotNegative, Positive, Weighted


class Regularisation(msgspec.Struct, frozen=True):
    type: Literal["NONE", "L1", "L2"] = "NONE"
    scope: str = "Conv2D,Dense"
    weight_decay: NotNegative = 0.0


class Train(msgspec.Struct, frozen=True):
    train_dataset_path: str | None = None
    val_dataset_path: str | None = None
    pretrained_model_path: str | None = None
    optimizer: Optimizer = Optimizer()
    lr_config: LrConfig = LrConfig()
    reg_config: Regularisation = Regularisation()
    batch_size_per_gpu: Positive = 64
    n_epochs: Positive = 80
    random_seed: Annotated[int, Meta(ge=0)] = 42
    preprocess_mode: Literal["caffe", "torch", "tf"] = "caffe"
    enable_random_crop: bool = True
    enable_center_crop: bool = True
    enable_color_augmentation: bool = False
    disable_horizontal_flip: bool = False
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    mixup_alpha: NotNegative = 0.0
    image_mean: list[Weighted] = []


class Eval(msgspec.Struct, frozen=True):
    eval_dataset_path: str | None = None
    model_path: str | None = None
    batch_size: Positive = 256
    top_k: Positive = 3
    enable_center_crop: bool = True


class Spec(Tf1Spec, frozen=True, kw_only=True):
    """The whole document."""

    train_config: Train = Train()
    eval_config: Eval = Eval()


OFFER = offers.tf1(
    Spec,
    rejected={"is_byom": offers.BYOM},
    without_effect={
        "static_batch_size": "the batch of the ONNX model is dynamic",
        "experiment_spec": "the command line names the file itself",
        "classmap_json": offers.CLASSES,
        "min_batch_size": ENGINE,
        "opt_batch_size": ENGINE,
        "model_config.retain_head": offers.HEAD,
        "init_epoch": "a resumed training continues from its checkpoint",
        "eval_config.n_workers": QUEUES,
        "train_config.n_workers": QUEUES,
        "train_config.model_parallelism": "a model is on one GPU",
        "train_config.visualizer": TRACKERS,
        "train_config.visualizer_config": TRACKERS,
        "training_config": TRACKERS,
    },
)
