"""efficientdet_tf1 and efficientdet_tf2: their data, model and training, from what their specifications say."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import torch
from torch import nn

from runners.engine.core import optimise, state
from runners.engine.core.network import Loss, Plan, Recipe, Score
from runners.engine.core.optimise import Schedule
from runners.engine.detection import coco_data, efficientdet, metrics, samples
from runners.engine.detection.data import Batch, DetectionSamples
from runners.engine.detection.efficientdet import STRIDES, Shape
from runners.engine.detection.network import CocoScore, Detection, DetectionFrame
from runners.engine.detection.nms import Detector, Nms
from runners.engine.detection.samples import Classes, Sample
from runners.engine.detection.settings import rows
from runners.engine.detection.transforms import ScaleCrop, Steps, Transform, flip
from runners.engine.errors import DataError, SpecError
from runners.engine.spec import convert

if TYPE_CHECKING:
    from runners.engine.run import Run

CATALOGUE_CLASSES = 91
"""Default of the number of classes, the background included; left at that, the classes of the data count."""
IOU = 0.5
"""Overlap above which NMS drops the worse one of two detections of a class."""


class EfficientDetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What both specifications say in their own words; the fields that errors name are in `EfficientDet.fields`."""

    train: str | None
    validation: str | None
    annotations: str | None
    classes: int
    name: str
    height: int
    width: int
    scale: float
    scales: int
    ratios: str
    freeze_blocks: list[int] = []
    freeze_bn: bool = False
    box_weight: float = 50.0
    smoothing: float = 0.0
    crowds: bool
    most: int
    mirrored: bool
    smallest: float
    largest: float
    """Scales of the image in a training, of the size at which it fits."""
    l1: float
    epochs: int
    batch: int
    examples: int | None
    """Images of an epoch; None: all of the data, once."""
    seed: int
    mixed: bool
    decay: float
    clip: float
    checkpoint_interval: int
    validation_interval: int
    start: str | None
    gpus: int
    confidence: float
    keep: int


class FieldNames(msgspec.Struct, frozen=True):
    """The names of parameters, for errors."""

    train: str
    validation: str
    classes: str
    size: str
    ratios: str
    start: str
    rate: str


S = TypeVar("S", bound=msgspec.Struct)


class EfficientDet(Detection[S]):
    fields: FieldNames

    @abstractmethod
    def settings(self, spec: S) -> EfficientDetSettings: ...

    @abstractmethod
    def optimiser(self, spec: S) -> tuple[str, Callable[[nn.Module], torch.optim.Optimizer]]:
        """Its name, and the optimiser of a model."""

    @abstractmethod
    def schedule(self, spec: S, steps: int) -> Schedule:
        """`steps`: of an epoch."""

    @abstractmethod
    def images(self, spec: S) -> tuple[str | None, str]:
        """The folder of an inference, and the parameter that names it."""

    def plan(self, spec: S, run: Run) -> Plan[DetectionFrame, Batch]:
        given, names = self.settings(spec), self.fields
        train, classes = coco_data.training(given.train, given.classes, CATALOGUE_CLASSES, (names.train, names.classes))
        if any(side < STRIDES[-1] or side % STRIDES[-1] for side in (given.height, given.width)):
            raise SpecError(
                f"{names.size} is {given.height} and {given.width}; height and width must be multiples of "
                f"{STRIDES[-1]}."
            )
        frame = DetectionFrame(
            classes=classes.names,
            ids=classes.ids,
            optimizer=self.optimiser(spec)[0],
            height=given.height,
            width=given.width,
            keeps_aspect=True,
            model=msgspec.to_builtins(self._shape(given, len(classes.names))),
        )
        scaled = ScaleCrop(given.height, given.width, given.smallest, given.largest)
        steps: list[Transform] = [flip(0.5), scaled] if given.mirrored else [scaled]
        learnt = DetectionSamples(train, frame.fit, Steps(*steps), crowds=given.crowds, most=given.most)
        validation = None
        if given.validation or given.annotations:
            validation = self.evaluation_samples(self._held_out(given, classes), frame)
        return Plan(
            frame=frame,
            recipe=self._recipe(spec, given, run, len(train)),
            samples=learnt,
            validation=validation,
            about=f"{given.name} at {frame.width}x{frame.height}, {len(frame.classes)} classes",
        )

    def build(self, frame: DetectionFrame) -> Detector:
        return efficientdet.build(msgspec.convert(frame.model, Shape), frame.height, frame.width)

    def loss(self, model: nn.Module, data: Batch, plan: Plan[DetectionFrame, Batch], step: int) -> Loss:
        found = super().loss(model, data, plan, step)
        weight = self.settings(convert(plan.frame.spec, self.spec_type)).l1
        added = optimise.penalty(model, "L1", weight)
        return found if added is None else found._replace(total=found.total + added)

    def nms(self, spec: S, frame: DetectionFrame) -> Nms:
        given = self.settings(spec)
        return Nms(given.confidence, IOU, given.keep)

    def truths(self, spec: S, classes: Classes, action: str) -> list[Sample]:
        if action == "inference":
            folder, field = self.images(spec)
            if not folder:
                raise DataError(f"{field} is not set; give the model an inference dataset.")
            return samples.unlabelled(Path(folder))
        return self._held_out(self.settings(spec), classes)

    def score(self, spec: S, frame: DetectionFrame, *, training: bool) -> Score[Batch]:
        return CocoScore(frame.classes, {name: name for name in metrics.COCO_KPIS})

    def _held_out(self, given: EfficientDetSettings, classes: Classes) -> list[Sample]:
        return coco_data.held_out(given.validation, given.annotations, classes, self.fields.validation)

    def _shape(self, given: EfficientDetSettings, classes: int) -> Shape:
        ratios = efficientdet.ratios_of(rows(given.ratios, self.fields.ratios))
        if ratios is None:
            raise SpecError(f"{self.fields.ratios} '{given.ratios}' must be pairs of positive factors.")
        return Shape(
            backbone=given.name,
            classes=classes,
            scale=given.scale,
            scales=given.scales,
            ratios=ratios,
            freeze_blocks=given.freeze_blocks,
            freeze_bn=given.freeze_bn,
            box_weight=given.box_weight,
            smoothing=given.smoothing,
        )

    def _recipe(self, spec: S, given: EfficientDetSettings, run: Run, images: int) -> Recipe:
        home = state.CheckpointFolder.below(run.results, self.checkpoint_name)
        resume, start = state.resume_or_start(given.start, home)
        return Recipe(
            epochs=given.epochs,
            batch=given.batch,
            optimiser=self.optimiser(spec)[1],
            schedule=lambda steps: self.schedule(spec, steps),
            steps=None if given.examples is None else -(-given.examples // given.batch),
            seed=given.seed,
            precision="auto" if given.mixed else "fp32",
            clip_norm=given.clip or None,
            ema_decay=given.decay or None,
            checkpoint_interval=given.checkpoint_interval,
            validation_interval=given.validation_interval,
            resume=resume,
            start=start,
            gpus=given.gpus,
            resume_field=self.fields.start,
            start_field=self.fields.start,
            lr_field=self.fields.rate,
        )
