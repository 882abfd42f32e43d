"""What a network is to the core: its types, its model, loss, score and files. All else is the core's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np
import torch
from torch import nn

from runners.engine.core.loading import Samples
from runners.engine.core.optimise import Schedule
from runners.engine.core.tf1 import Pruning
from runners.engine.spec import Calibrated
from taod.documents import Document

if TYPE_CHECKING:
    from runners.engine.run import Run

S = TypeVar("S", bound=msgspec.Struct)
F = TypeVar("F", bound="Frame")
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

Arrays = list[np.ndarray]
"""The outputs of the deployed model for a batch, by `output_names`."""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same all through a run and is kept in each of its checkpoints; subclasses add what the model's
    shape and inputs depend on."""

    classes: list[str]
    optimizer: str
    data: Document = {}
    """Digest of the samples, batch size, seed: a position within an epoch means something only where all agree."""
    spec: Document = {}
    pruned: dict[str, list[int]] = {}
    """Shapes of the tensors that a prune changed."""

    def fixed(self) -> Document:
        """What must be equal for a training to be resumed, by name."""
        found: Document = msgspec.to_builtins(self)
        return {key: value for key, value in found.items() if key not in ("data", "spec")}


class Loss(NamedTuple):
    """Of one batch: what is minimised (a mean over the batch), and sums over its samples that an epoch averages."""

    total: torch.Tensor
    sums: dict[str, torch.Tensor] = {}  # noqa: RUF012  never changed


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How to train."""

    epochs: int
    batch: int
    """Of each process."""
    optimiser: Callable[[nn.Module], torch.optim.Optimizer]
    schedule: Callable[[int], Schedule]
    """Steps of an epoch → the learning rate at each step of the run; a parameter group's `lr_scale` multiplies it."""
    steps: int | None = None
    """Steps of an epoch where the specification counts iterations; None: as many as the data have batches."""
    iterations: int | None = None
    """The last epoch ends at this step."""
    seed: int = 47
    workers: int | None = None
    """None: chosen by device and cores."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    deterministic: bool = False
    accumulate: int = 1
    """Batches for one step of the optimiser."""
    clip_norm: float | None = None
    clip_value: float | None = None
    ema_decay: float | None = None
    checkpoint_interval: int = 1
    keep: int = -1
    """How many checkpoints are kept; negative: all."""
    validation_interval: int = 1
    validation_first: int | None = None
    """The first epoch with a validation, from which the interval counts."""
    logging_interval: int = 10
    patience: int | None = None
    """Validations without a better `monitor` after which the training ends."""
    monitor: str = "loss"
    minimise: bool = True
    resume: str | None = None
    start: str | None = None
    """Weights to start from."""
    strict_start: bool = True
    """Weights of which none fit are an error."""
    gpus: int = 1
    tolerant: bool = False
    """Unreadable images are left out instead of ending the run."""
    resume_field: str = "the checkpoint to resume from"
    start_field: str = "the pretrained model"
    lr_field: str = "the learning rate"
    precision_field: str = "precision"


class Plan(msgspec.Struct, Generic[F, T], frozen=True, kw_only=True):
    """A training as its network arranges it."""

    frame: F
    recipe: Recipe
    samples: Samples[T]
    validation: Samples[T] | None
    about: str = ""
    """The model in a few words, for the log."""


class Score(Protocol[T_contra]):
    """Gathers predictions beside labels."""

    def add(self, outputs: Arrays, data: T_contra, indices: Sequence[int]) -> None: ...

    @property
    def count(self) -> int:
        """Images so far."""

    def kpi(self) -> dict[str, float]:
        """KPIs by the names of the tool."""

    def categorical(self) -> dict[str, dict[str, float]]:
        """Values per class."""

    def write(self, folder: Path, checkpoint: Path) -> str:
        """Write the files of an evaluation; returns what the closing sentence says of the score."""


class Writer(Protocol[T_contra]):
    """Writes what an inference predicts."""

    def add(self, path: str, outputs: Arrays, data: T_contra, place: int) -> None:
        """One image: its outputs without the batch's dimension, `place` its row in `data`."""

    def close(self, whole: bool) -> None:
        """The last call; what is not whole is removed."""


class Network(ABC, Generic[S, F, T]):
    """One network of the engine; the instance keeps nothing between calls."""

    name: ClassVar[str]
    spec_type: type[S]
    frame_type: type[F]
    checkpoint_name: ClassVar[str] = "train/epoch_{epoch}.pth"
    """Below the results; `{epoch}` counts iterations where the recipe has `steps`."""
    input_names: ClassVar[tuple[str, ...]] = ("input",)
    output_names: ClassVar[tuple[str, ...]]
    probe_names: ClassVar[tuple[str, ...]] = ()
    """Outputs that `probing` has after `output_names`, and that an export compares with torch in their place: where
    nearly equal values decide an order, what is ordered is compared. The file does not keep them."""
    own_actions: ClassVar[Mapping[str, str]] = {}
    """Action that the core does not have → the module whose `run(run, network)` does it."""
    exporter: ClassVar[Literal["dynamo", "trace"]] = "dynamo"
    optimise_export: ClassVar[bool] = True
    verb: ClassVar[str] = "processed"
    """What an inference did to images."""
    remedy: ClassVar[str] = "replace or remove it"
    """What to do about an unreadable image."""

    @abstractmethod
    def plan(self, spec: S, run: Run) -> Plan[F, T]:
        """Read the data and decide everything of a training. Raises EngineError."""

    @abstractmethod
    def build(self, frame: F) -> nn.Module:
        """The model, its weights drawn from torch's random state; its shape depends on the frame alone."""

    @abstractmethod
    def loss(self, model: nn.Module, data: T, plan: Plan[F, T], step: int) -> Loss:
        """Of a batch on the device, under the run's precision. `model` may be wrapped: only call it."""

    @abstractmethod
    def inputs(self, data: T, frame: F) -> tuple[torch.Tensor, ...]:
        """What the deployed model is given, on the device of the data."""

    def deployed(self, model: nn.Module, frame: F, spec: S) -> nn.Module:
        """The model as it is evaluated and exported: inputs → a tensor or a tuple of them, as `output_names`."""
        return model

    def probing(self, deployed: nn.Module) -> nn.Module:
        """The deployed model with the outputs `probe_names`."""
        return deployed

    @abstractmethod
    def score(self, spec: S, frame: F, *, training: bool) -> Score[T]: ...

    @abstractmethod
    def checkpoint(self, spec: S, action: str) -> tuple[str | None, str]:
        """The model that evaluate, inference or export reads, and the parameter that names it."""

    @abstractmethod
    def samples(self, spec: S, frame: F, action: str) -> tuple[Samples[T], int, int | None]:
        """The data of evaluate or inference with batch size and workers. Raises EngineError."""

    def validation(self, spec: S, frame: F) -> tuple[Samples[T], int] | None:
        """The images that a training with this specification is validated with, and their batch size; None where it
        names none. For networks that are pruned. Raises EngineError."""
        return None

    def calibration(self, spec: S, frame: F) -> tuple[Samples[T], int, int | None]:
        """The images that an export is quantized with, as an inference reads them, with batch size and workers, of a
        network whose specification is `Calibrated`. Raises EngineError."""
        assert isinstance(spec, Calibrated)
        return self.samples(msgspec.structs.replace(spec, image_dir=spec.cal_image_dir), frame, "inference")

    @abstractmethod
    def writer(self, spec: S, frame: F, folder: Path) -> Writer[T]: ...

    def tolerant(self, spec: S) -> bool:
        """Whether an evaluation leaves out unreadable images."""
        return False

    def onnx_file(self, spec: S) -> str | None:
        """Where an export writes; None: model.onnx in the results."""
        return None

    def translations(self) -> dict[Callable[..., object], Callable[..., object]]:
        """Operators of the deployed model that ONNX's exporter does not know → their ONNX forms."""
        return {}

    def check_export(self, spec: S, frame: F) -> None:
        """Raise SpecError for an export that does not fit the model."""

    def pruning(self, spec: S) -> Pruning:
        """What a prune is asked to do, of a network that has the action."""
        raise NotImplementedError

    def prunable(self, model: nn.Module, frame: F) -> tuple[nn.Module, list[nn.Module]]:
        """What an example is passed through to find which layers depend on each other, and the layers whose outputs
        stay. Raises SpecError for a model that cannot be pruned."""
        raise NotImplementedError

    def shape_of(self, frame: F) -> Document:
        """What a training from a pruned model must have in common with it, by name."""
        return {}

    @abstractmethod
    def input_size(self, frame: F) -> tuple[int, int, int]:
        """(channels, height, width)."""

    def example(self, frame: F, batch: int, random: Random) -> tuple[torch.Tensor, ...]:
        """Inputs of the deployed model, to trace and to compare it with."""
        generator = torch.Generator().manual_seed(random.randrange(2**31))
        return (torch.randn(batch, *self.input_size(frame), generator=generator),)

    def metadata(self, frame: F, spec: S) -> Document:
        """What the ONNX file says of pre- and post-processing, beside classes, size, layout and network."""
        return {}

    def frame_of_metadata(self, metadata: dict[str, msgspec.Raw]) -> F:
        """The frame of an ONNX file that an older engine wrote. Raises KeyError or msgspec.DecodeError."""
        raise KeyError("frame")

    def kpi(self, trained: dict[str, float], validated: dict[str, float] | None) -> dict[str, float]:
        """An epoch's KPIs. `trained` has `loss` and the sums of the loss by name."""
        found = {f"train_{name}": value for name, value in trained.items()}
        return {**validated, **found} if validated is not None else {**found, "loss": trained["loss"]}
