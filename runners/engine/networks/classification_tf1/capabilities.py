"""What the engine offers for classification_tf1, as plain data. No heavy imports."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.classification import offers, settings
from runners.engine.classification.settings import NotNegative, Positive, Prune, Share, Tf1Model
from runners.engine.core.offer import Offer
from runners.engine.detection.settings import Weighted
from runners.engine.spec import convert
from taod.documents import Document

Rate = Annotated[float, Meta(gt=0)]


class Step(msgspec.Struct, frozen=True):
    """`step_size` in percent of the training."""

    learning_rate: Rate = 0.006
    step_size: Annotated[float, Meta(gt=0)] = 10
    gamma: Rate = 0.1


class Soft(msgspec.Struct, frozen=True):
    learning_rate: Rate = 0.05
    soft_start: Share = 0.056
    annealing_divider: Rate = 10
    annealing_points: tuple[Share, ...] = ()


class Cosine(msgspec.Struct, frozen=True):
    learning_rate: Rate = 0.05
    soft_start: Share = 0.0
    min_lr_ratio: Share = 0.001


class LrConfig(msgspec.Struct, frozen=True):
    step: Step | None = None
    soft_anneal: Soft | None = None
    cosine: Cosine | None = None


class Sgd(msgspec.Struct, frozen=True):
    lr: Rate = 0.01
    decay: NotNegative = 0.0
    momentum: Share = 0.9
    nesterov: bool = False


class Adam(msgspec.Struct, frozen=True):
    lr: Rate = 0.001
    decay: NotNegative = 0.0
    beta_1: Share = 0.9
    beta_2: Share = 0.999
    epsilon: Rate = 1e-7


class RmsProp(msgspec.Struct, frozen=True):
    lr: Rate = 0.001
    decay: NotNegative = 0.0
    rho: Share = 0.9
    epsilon: Rate = 1e-7


class Optimizer(msgspec.Struct, frozen=True):
    """At most one; SGD with the defaults where there is none."""

    sgd: Sgd | None = None
    adam: Adam | None = None
    rmsprop: RmsProp | None = None

    @property
    def chosen(self) -> Sgd | Adam | RmsProp:
        return self.adam or self.rmsprop or self.sgd or Sgd()


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


class Spec(Prune, frozen=True, kw_only=True):
    """The whole document, with the options of the command line at its top."""

    model_config: Tf1Model = Tf1Model()
    train_config: Train = Train()
    eval_config: Eval = Eval()
    gpus: int | None = None
    use_amp: bool = False
    model_path: str | None = None
    model: str | None = None
    output_file: str | None = None
    image_dir: str | None = None
    batch_size: Positive | None = None


def check(action: str, document: Document) -> None:
    """Raise SpecError for a model that the engine has not."""
    if action in ("train", "retrain"):
        found = convert(document, Spec)
        settings.shape(found.model_config)


OFFER = Offer(
    spec=Spec,
    actions=offers.ACTIONS,
    check=check,
    similar=offers.SIMILAR,
    only=offers.ONLY,
    rejected={"is_byom": offers.BYOM},
    without_effect={
        **offers.TF1_MODEL,
        **offers.TF1_EXPORT,
        "model_config.retain_head": offers.HEAD,
        "init_epoch": "a resumed training continues from its checkpoint",
        "eval_config.n_workers": offers.QUEUES,
        "train_config.n_workers": offers.QUEUES,
        "train_config.model_parallelism": "a model is on one GPU",
        "train_config.visualizer": offers.TRACKERS,
        "train_config.visualizer_config": offers.TRACKERS,
        "training_config": offers.TRACKERS,
    },
)
