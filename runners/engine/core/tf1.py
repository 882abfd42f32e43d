"""Groups that the specifications of several of TAO's TF1 tools share. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.core.offer import QUEUES, TRACKERS
from runners.engine.spec import CommandLine

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
NotNegative = Annotated[float, Meta(ge=0)]


class Weighted(msgspec.Struct, frozen=True):
    """An entry of a map from text to a number."""

    key: str = ""
    value: float = 0.0


class SoftStart(msgspec.Struct, frozen=True):
    min_learning_rate: Annotated[float, Meta(gt=0)] = 5e-5
    max_learning_rate: Annotated[float, Meta(gt=0)] = 9e-3
    soft_start: Share = 0.1
    annealing: Share = 0.8


class SoftStartCosine(msgspec.Struct, frozen=True):
    min_learning_rate: Annotated[float, Meta(gt=0)] = 5e-5
    max_learning_rate: Annotated[float, Meta(gt=0)] = 9e-3
    soft_start: Share = 0.1


class LearningRate(msgspec.Struct, frozen=True):
    soft_start_annealing_schedule: SoftStart | None = None
    soft_start_cosine_annealing_schedule: SoftStartCosine | None = None


class Sgd(msgspec.Struct, frozen=True):
    momentum: NotNegative = 0.9
    nesterov: bool = False


class Adam(msgspec.Struct, frozen=True):
    epsilon: Annotated[float, Meta(gt=0)] = 1e-7
    beta1: Share = 0.9
    beta2: Share = 0.999
    amsgrad: bool = False


class RmsProp(msgspec.Struct, frozen=True):
    rho: Share = 0.9
    momentum: NotNegative = 0.0
    epsilon: Annotated[float, Meta(gt=0)] = 1e-7
    centered: bool = False


class Optimizer(msgspec.Struct, frozen=True):
    """At most one; SGD with the defaults where there is none."""

    sgd: Sgd | None = None
    adam: Adam | None = None
    rmsprop: RmsProp | None = None

    @property
    def name(self) -> str:
        return "adam" if self.adam else "rmsprop" if self.rmsprop else "sgd"


class Regularizer(msgspec.Struct, frozen=True):
    """A penalty on the kernels of convolutions, added to the loss."""

    type: Literal["NO_REG", "L1", "L2"] = "NO_REG"
    weight: NotNegative = 0.0


class EarlyStopping(msgspec.Struct, frozen=True):
    patience: Positive | None = None


class TrainingConfig(msgspec.Struct, frozen=True):
    batch_size_per_gpu: Positive = 8
    num_epochs: Positive = 80
    learning_rate: LearningRate = LearningRate()
    regularizer: Regularizer = Regularizer()
    optimizer: Optimizer = Optimizer()
    checkpoint_interval: Positive = 10
    early_stopping: EarlyStopping | None = None
    resume_model_path: str | None = None
    pretrain_model_path: str | None = None
    pruned_model_path: str | None = None
    model_ema: bool = False


TRAINING_CONFIG: Mapping[str, str] = {
    "training_config.max_queue_size": QUEUES,
    "training_config.use_multiprocessing": QUEUES,
    "training_config.n_workers": QUEUES,
    "training_config.visualizer": TRACKERS,
    "training_config.early_stopping.min_delta": "any better value counts",
    "training_config.early_stopping.monitor": "the loss of the training is monitored",
}
"""Parameters of `TrainingConfig` without effect → why."""


class Pruning(msgspec.Struct, frozen=True):
    """A channel is kept where its norm, divided by the largest one or by the norm of all of its layer, is over the
    threshold."""

    normalizer: Literal["max", "L2"] = "max"
    equalization_criterion: Literal["union", "intersection", "arithmetic_mean", "geometric_mean"] = "union"
    """How layers whose channels are added to each other decide together."""
    granularity: Positive = 8
    """The channels of a layer are a multiple of that."""
    threshold: Share = 0.1
    min_num_filters: Positive = 16
    excluded_layers: tuple[str, ...] = ()


class PrunedByOptions(CommandLine, frozen=True, kw_only=True):
    """The options of the tools' prune."""

    normalizer: Literal["max", "L2"] = "max"
    equalization_criterion: Literal["union", "intersection", "arithmetic_mean", "geometric_mean"] = "union"
    pruning_granularity: Positive = 8
    pruning_threshold: Share = 0.1
    min_num_filters: Positive = 16
    excluded_layers: str = ""

    def pruning(self) -> Pruning:
        return Pruning(
            self.normalizer,
            self.equalization_criterion,
            self.pruning_granularity,
            self.pruning_threshold,
            self.min_num_filters,
            tuple(name.strip() for name in self.excluded_layers.split(",") if name.strip()),
        )
