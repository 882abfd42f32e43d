"""classification_tf1, classification_tf2 and multitask_classification on the core: what they share as networks."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import torch
from torch import nn

from runners.engine.classification import settings
from runners.engine.classification.backbones import Classifier
from runners.engine.classification.data import ImageSet, Labelled
from runners.engine.classification.images import Images, in_classes
from runners.engine.classification.logit_score import LogitScore
from runners.engine.classification.pipeline import Pipeline
from runners.engine.classification.score import ClassScore, ClassWriter, Task
from runners.engine.classification.settings import Augment, Shape, Split
from runners.engine.classification.table import Table
from runners.engine.core import optimise, pruning
from runners.engine.core.loading import Samples
from runners.engine.core.network import Frame, Loss, Network, Plan, Recipe
from runners.engine.core.pixels import scaled
from runners.engine.spec import convert
from taod.documents import Document

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")

S = TypeVar("S", bound=msgspec.Struct)


class ClassFrame(Frame, frozen=True, kw_only=True):
    """What a classifier's checkpoint keeps beside its weights; `classes` are those of all tasks."""

    tasks: list[Task]
    shape: Shape
    mean: list[float]
    std: list[float]
    """On the 0-255 scale, in the order of the model's channels."""
    blue_first: bool
    method: str
    """How images are resized."""
    centre: bool

    def fixed(self) -> Document:
        found = super().fixed()
        return {name: found[name] for name in ("classes", "optimizer", "shape", "pruned")}


class Training(msgspec.Struct, frozen=True):
    """What a specification says of the loss and of the augmentation."""

    augment: Augment
    smoothing: float = 0.0
    penalty: str = "NO_REG"
    penalty_weight: float = 0.0
    penalised: tuple[int, ...] = (4, 2)
    """Dimensions of the kernels that the penalty is on: 4 of convolutions, 2 of linear layers."""


class ClassificationNetwork(Network[S, ClassFrame, Labelled]):
    """A classifier with one task or several."""

    frame_type = ClassFrame
    checkpoint_name = "weights/model_epoch_{epoch}.pth"
    output_names = ("logits",)
    verb = "classified"

    @abstractmethod
    def shape(self, spec: S) -> Shape: ...

    @abstractmethod
    def training(self, spec: S) -> Training: ...

    @abstractmethod
    def recipe(self, spec: S, run: Run) -> Recipe: ...

    @abstractmethod
    def normalisation(self, spec: S, channels: int) -> tuple[list[float], list[float], bool]: ...

    @abstractmethod
    def train_images(self, spec: S) -> tuple[Images | Table, list[Task]]:
        """The images of a training, and the tasks with their classes."""

    @abstractmethod
    def action_images(self, spec: S, frame: ClassFrame, action: str) -> Images | Table | None:
        """The images of a validation (`train`), an evaluation or an inference."""

    @abstractmethod
    def batch(self, spec: S, action: str) -> int: ...

    @abstractmethod
    def kpis(self, scores: list[LogitScore], *, training: bool) -> dict[str, float]:
        """The KPIs by the names of the tool."""

    def topk(self, spec: S) -> Sequence[int]:
        return (1,)

    def centre(self, spec: S, frame: ClassFrame) -> bool:
        """Whether an evaluation cuts the middle out of images."""
        return frame.centre

    def plan(self, spec: S, run: Run) -> Plan[ClassFrame, Labelled]:
        found, tasks = self.train_images(spec)
        shape, training, recipe = self.shape(spec), self.training(spec), self.recipe(spec, run)
        mean, std, blue_first = self.normalisation(spec, shape.channels)
        names = [f"{task.name}={name}" if task.name else name for task in tasks for name in task.classes]
        frame = ClassFrame(
            classes=names,
            optimizer=self.optimiser_name(spec),
            tasks=tasks,
            shape=shape,
            mean=mean,
            std=std,
            blue_first=blue_first,
            method=training.augment.method,
            centre=training.augment.centre,
        )
        steps = settings.training_steps(training.augment, shape.height, shape.width)
        samples: Samples[Labelled] = ImageSet(found, self._pipeline(steps, frame))
        held_out = self.validation(spec, frame)
        classes = {name: number for number, name in enumerate(names)}
        run.results.mkdir(parents=True, exist_ok=True)
        (run.results / "classmap.json").write_bytes(msgspec.json.encode(classes))
        about = f"{shape.backbone}, input {shape.height}x{shape.width}"
        return Plan(
            frame=frame, recipe=recipe, samples=samples, validation=held_out[0] if held_out else None, about=about
        )

    def validation(self, spec: S, frame: ClassFrame) -> tuple[Samples[Labelled], int] | None:
        found = self.action_images(spec, frame, "train")
        if found is None:
            return None
        return ImageSet(found, self._fitting(frame, centre=frame.centre)), self.batch(spec, "evaluate")

    @abstractmethod
    def optimiser_name(self, spec: S) -> str: ...

    def build(self, frame: ClassFrame) -> nn.Module:
        shape = frame.shape
        model = Classifier(shape.backbone, shape.channels, len(frame.classes), shape.dropout)
        model.set_norms(shape.norms.momentum, shape.norms.epsilon)
        model.freeze(shape.freeze_blocks, norms=shape.freeze_bn)
        return model

    def loss(self, model: nn.Module, data: Labelled, plan: Plan[ClassFrame, Labelled], step: int) -> Loss:
        """The sum of the tasks' cross entropies, between two images where they are mixed (Zhang et al. 2018,
        arXiv:1710.09412)."""
        training = self.training(convert(plan.frame.spec, self.spec_type))
        (images,) = self.inputs(data, plan.frame)
        labels = data.labels.view(len(images), -1)
        share, other = 1.0, labels
        if training.augment.mixup > 0:
            share = float(torch.distributions.Beta(training.augment.mixup, training.augment.mixup).sample())
            order = torch.randperm(len(images)).to(images.device)
            images, other = images * share + images[order] * (1 - share), labels[order]
        logits = model(images)
        total = optimise.penalty(model, training.penalty, training.penalty_weight, training.penalised)
        total = logits.new_zeros(()) if total is None else total
        hits = logits.new_zeros(())
        parts = logits.split([len(task.classes) for task in plan.frame.tasks], dim=1)
        for part, own, mixed in zip(parts, labels.T, other.T, strict=True):
            total = total + share * nn.functional.cross_entropy(part, own, label_smoothing=training.smoothing)
            if share < 1:
                total = total + (1 - share) * nn.functional.cross_entropy(
                    part, mixed, label_smoothing=training.smoothing
                )
            hits = hits + (part.detach().argmax(dim=1) == own).sum() / len(parts)
        return Loss(total, {"accuracy": hits})

    def inputs(self, data: Labelled, frame: ClassFrame) -> tuple[torch.Tensor, ...]:
        pixels = data.pixels[..., :1] if frame.shape.channels == 1 else data.pixels
        return (scaled(pixels.flip(-1) if frame.blue_first else pixels, frame.mean, frame.std),)

    def score(self, spec: S, frame: ClassFrame, *, training: bool) -> ClassScore:
        def named(scores: list[LogitScore]) -> dict[str, float]:
            return self.kpis(scores, training=training)

        return ClassScore(frame.tasks, self.topk(spec), named, precision=not training)

    def samples(self, spec: S, frame: ClassFrame, action: str) -> tuple[Samples[Labelled], int, int | None]:
        found = self.action_images(spec, frame, action)
        assert found is not None
        fitted = self._fitting(frame, centre=self.centre(spec, frame))
        return ImageSet(found, fitted), self.batch(spec, action), None

    def writer(self, spec: S, frame: ClassFrame, folder: Path) -> ClassWriter:
        return ClassWriter(folder, frame.tasks)

    def input_size(self, frame: ClassFrame) -> tuple[int, int, int]:
        return frame.shape.channels, frame.shape.height, frame.shape.width

    def metadata(self, frame: ClassFrame, spec: S) -> Document:
        order = "grey" if frame.shape.channels == 1 else "blue, green, red" if frame.blue_first else "red, green, blue"
        steps = settings.evaluation_steps(frame.shape.height, frame.shape.width, frame.method, centre=frame.centre)
        return {"mean": frame.mean, "std": frame.std, "channels": order, "pipeline": steps, "tasks": frame.tasks}

    def prunable(self, model: nn.Module, frame: ClassFrame) -> tuple[nn.Module, list[nn.Module]]:
        assert isinstance(model, Classifier)
        pruning.check_backbone(frame.shape.backbone)
        return model, [model.head]

    def shape_of(self, frame: ClassFrame) -> Document:
        return {"backbone": frame.shape.backbone, "channels": frame.shape.channels}

    def _pipeline(self, steps: list[Document], frame: ClassFrame) -> Pipeline:
        grey: list[Document] = [{"type": "RandomGrayscale", "gray_prob": 1.0}] if frame.shape.channels == 1 else []
        return Pipeline([*steps, *grey], "the specification")

    def _fitting(self, frame: ClassFrame, *, centre: bool) -> Pipeline:
        shape = frame.shape
        return self._pipeline(settings.evaluation_steps(shape.height, shape.width, frame.method, centre=centre), frame)


def folders(path: str | None, field: str, classes: list[str] | None = None, *, every: bool = False) -> Images:
    """Images by class folder. Raises DataError naming the field."""
    return in_classes(Split(path), field, classes, every=every)


def single(scores: list[LogitScore], accuracy: str, loss: str, topk: str = "accuracy_top-{}") -> dict[str, float]:
    """The values of a single task by these names."""
    values = scores[0].kpi()
    further = {
        topk.format(name.rpartition("-")[2]): value
        for name, value in values.items()
        if name not in ("accuracy_top-1", "loss")
    }
    return {accuracy: values["accuracy_top-1"], **further, loss: values["loss"]}
