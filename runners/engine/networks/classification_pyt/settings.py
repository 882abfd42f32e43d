"""The experiment spec of classification_pyt as types: what the engine reads of it, with its defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from runners.engine.classification.settings import Split
from runners.engine.spec import convert

Positive = Annotated[int, Meta(ge=1)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
Spread = Annotated[float, Meta(gt=0)]

CATALOGUE_CLASSES = 20
"""Default of `model.head.num_classes` in TAO's table; left at that, the classes of the data count."""
CATALOGUE_SIDE = 224
"""Default of `export.input_width` and `export.input_height`; left at that, the trained size counts."""


class Data(msgspec.Struct, frozen=True):
    train: Split = Split()
    val: Split = Split()
    test: Split = Split()
    samples_per_gpu: Positive = 32
    workers_per_gpu: Annotated[int, Meta(ge=0)] | None = None
    """None: chosen by device and cores."""
    skip_unreadable: bool = False
    """The engine's own: leave out images that cannot be read, with a warning, instead of failing."""


class ImageNorm(msgspec.Struct, frozen=True):
    """Mean and standard deviation a channel, on the 0-255 scale."""

    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[Spread, Spread, Spread] = (58.395, 57.12, 57.375)


class Dataset(msgspec.Struct, frozen=True):
    data: Data = Data()
    img_norm_cfg: ImageNorm = ImageNorm()


class InitCfg(msgspec.Struct, frozen=True):
    checkpoint: str | None = None


class Backbone(msgspec.Struct, frozen=True):
    type: str = "resnet_tiny"
    custom_args: dict[str, Any] = {}


class Loss(msgspec.Struct, frozen=True):
    type: str = "CrossEntropyLoss"
    loss_weight: Annotated[float, Meta(gt=0)] = 1.0
    label_smooth_val: Fraction | None = None
    label_smoothing: Fraction | None = None
    use_soft: bool = False

    @property
    def smoothing(self) -> float:
        """Share of a label spread over all classes; LabelSmoothLoss has 0.1 where the spec does not say."""
        for value in (self.label_smooth_val, self.label_smoothing):
            if value is not None:
                return value
        return 0.1 if self.type == "LabelSmoothLoss" else 0.0


class Head(msgspec.Struct, frozen=True):
    type: str = "LinearClsHead"
    num_classes: Positive = CATALOGUE_CLASSES
    loss: Loss = Loss()


class Model(msgspec.Struct, frozen=True):
    backbone: Backbone = Backbone()
    head: Head = Head()
    init_cfg: InitCfg = InitCfg()


class Optimizer(msgspec.Struct, frozen=True):
    type: str = "AdamW"
    lr: Annotated[float, Meta(gt=0)] = 1e-3
    weight_decay: Annotated[float, Meta(ge=0)] = 0.05
    momentum: Fraction = 0.9
    nesterov: bool = False
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)


class LrConfig(msgspec.Struct, frozen=True):
    """Schedule of the learning rate, a step at a time; `warmup_iters` in steps, or epochs with `warmup_by_epoch`."""

    policy: str = "CosineAnnealing"
    min_lr: Annotated[float, Meta(ge=0)] = 0.0
    min_lr_ratio: Annotated[float, Meta(ge=0, le=1)] | None = None
    step: Positive | list[Positive] = 10
    gamma: Annotated[float, Meta(gt=0)] = 0.1
    power: Annotated[float, Meta(gt=0)] = 1.0
    warmup: Literal["linear", "constant", "exp"] | None = None
    warmup_iters: Annotated[int, Meta(ge=0)] = 0
    warmup_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.1
    warmup_by_epoch: bool = False


class GradClip(msgspec.Struct, frozen=True):
    max_norm: Annotated[float, Meta(gt=0)] = 1.0


class OptimizerConfig(msgspec.Struct, frozen=True):
    grad_clip: GradClip | None = None


class Runner(msgspec.Struct, frozen=True):
    max_epochs: Positive = 40


class CheckpointConfig(msgspec.Struct, frozen=True):
    """Every how many epochs a checkpoint is written (the last epoch's always), and how many are kept (-1: all)."""

    interval: Positive = 1
    max_keep_ckpts: int = -1


class Interval(msgspec.Struct, frozen=True):
    interval: Positive = 1


class TrainConfig(msgspec.Struct, frozen=True):
    runner: Runner = Runner()
    optimizer: Optimizer = Optimizer()
    optimizer_config: OptimizerConfig = OptimizerConfig()
    lr_config: LrConfig = LrConfig()
    checkpoint_config: CheckpointConfig = CheckpointConfig()
    logging: Interval = Interval()
    evaluation: Interval = Interval()
    validate: bool = True
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """The engine's own. auto: bf16 on a GPU that has it, else fp16 there; fp32 on CPU."""
    resume_training_checkpoint_path: str | None = None
    custom_hooks: list[dict[str, Any]] = []


class ExpConfig(msgspec.Struct, frozen=True):
    manual_seed: Annotated[int, Meta(ge=0)] | None = None
    deterministic: bool = False


class Train(msgspec.Struct, frozen=True):
    train_config: TrainConfig = TrainConfig()
    exp_config: ExpConfig = ExpConfig()
    seed: Annotated[int, Meta(ge=0)] | None = None
    num_gpus: int | None = None


class Evaluate(msgspec.Struct, frozen=True):
    checkpoint: str | None = None
    batch_size: Positive | None = None
    topk: Positive | list[Positive] | None = None


class Export(msgspec.Struct, frozen=True):
    checkpoint: str | None = None
    onnx_file: str | None = None
    input_width: Positive = CATALOGUE_SIDE
    input_height: Positive = CATALOGUE_SIDE
    input_channel: Literal[3] = 3


class Inference(msgspec.Struct, frozen=True):
    checkpoint: str | None = None
    batch_size: Positive | None = None


class Spec(msgspec.Struct, frozen=True):
    """The whole document. Keys that the engine does not read are let pass."""

    dataset: Dataset = Dataset()
    model: Model = Model()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    export: Export = Export()
    inference: Inference = Inference()
    gpus: int | None = None

    @property
    def seed(self) -> int:
        """`train.seed`, else `train.exp_config.manual_seed`, else a fixed number."""
        for value in (self.train.seed, self.train.exp_config.manual_seed):
            if value is not None:
                return value
        return 47


def of(document: dict[str, Any]) -> Spec:
    """The document as settings. Raises SpecError naming the path of what does not fit."""
    return convert(document, Spec)
