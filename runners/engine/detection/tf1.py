"""Detectors whose specifications are those of TAO's TF1 tools: their common groups as plans, data and scores."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, TypeVar

import msgspec
from torch import nn

from runners.engine.core import optimise, tf1_recipe
from runners.engine.core.network import Loss, Plan, Recipe, Score
from runners.engine.core.tf1 import Pruning, Weighted
from runners.engine.data.boxes import Source
from runners.engine.detection import samples
from runners.engine.detection.data import Batch, DetectionSamples
from runners.engine.detection.network import MEAN, Detection, DetectionFrame, DetectionWriter, VocScore
from runners.engine.detection.nms import Nms
from runners.engine.detection.samples import Classes, Sample
from runners.engine.detection.settings import (
    Common,
    DataSource,
    SsdAugmentation,
    YoloAugmentation,
)
from runners.engine.detection.transforms import Transform
from runners.engine.errors import DataError
from runners.engine.run import Run
from runners.engine.spec import convert, lookup

S = TypeVar("S", bound=Common)


class Tf1Detection(Detection[S]):
    """ssd, dssd, retinanet and the YOLO networks."""

    keeps_aspect: ClassVar[bool] = False

    def classes(self, spec: S) -> Classes:
        return samples.mapped(spec.dataset_config.mapping)

    @abstractmethod
    def augmentation(self, spec: S) -> SsdAugmentation | YoloAugmentation: ...

    @abstractmethod
    def described(self, spec: S, classes: int) -> msgspec.Struct:
        """The shape of the model."""

    @abstractmethod
    def transform(self, spec: S, mean: tuple[float, float, float]) -> Transform:
        """What is done to images of a training."""

    def grey(self, spec: S) -> bool:
        return self.augmentation(spec).output_channel == 1

    def plan(self, spec: S, run: Run) -> Plan[DetectionFrame, Batch]:
        own, config = self.augmentation(spec), spec.dataset_config
        classes = self.classes(spec)
        mean = mean_of(own.image_mean)
        frame = DetectionFrame(
            classes=classes.names,
            ids=classes.ids,
            optimizer=spec.training_config.optimizer.name,
            spec=run.document,
            height=own.output_height,
            width=own.output_width,
            mean=mean,
            grey=self.grey(spec),
            keeps_aspect=self.keeps_aspect,
            model=msgspec.to_builtins(self.described(spec, len(classes.names))),
        )
        train = samples.read(sources(config.data_sources, "dataset_config.data_sources"), classes)
        held_out = self.validation(spec, frame)
        return Plan(
            frame=frame,
            recipe=self.recipe(spec, run),
            samples=self.augmented(train, frame, self.transform(spec, mean)),
            validation=held_out[0] if held_out else None,
            about=f"{frame.model.get('backbone', '')} at {frame.width}x{frame.height}, {len(frame.classes)} classes",
        )

    def augmented(self, train: list[Sample], frame: DetectionFrame, transform: Transform) -> DetectionSamples:
        return DetectionSamples(train, frame.fit, transform, grey=frame.grey)

    def recipe(self, spec: S, run: Run) -> Recipe:
        found = tf1_recipe.recipe(
            spec.training_config,
            seed=spec.random_seed,
            gpus=spec.gpus or 1,
            mixed=spec.use_amp,
            validation_interval=spec.eval_config.validation_period_during_training,
        )
        named = spec.resume_model_weights
        if not named:
            return found
        own = Path(named).is_relative_to(run.results)
        return msgspec.structs.replace(found, **({"resume": named} if own else {"start": named}))

    def pruning(self, spec: S) -> Pruning:
        return spec.pruning()

    def loss(self, model: nn.Module, data: Batch, plan: Plan[DetectionFrame, Batch], step: int) -> Loss:
        return regularised(super().loss(model, data, plan, step), model, plan.frame)

    def nms(self, spec: S, frame: DetectionFrame) -> Nms:
        """Of the action's specification; of the training's where an action has none."""
        given = spec if spec.dataset_config.target_class_mapping else convert(frame.spec, self.spec_type)
        config = given.nms_config
        return Nms(config.confidence_threshold, config.clustering_iou_threshold, config.top_k)

    def checkpoint(self, spec: S, action: str) -> tuple[str | None, str]:
        return (spec.model, "model") if action in ("export", "prune") else (spec.model_path, "model_path")

    def onnx_file(self, spec: S) -> str | None:
        return spec.output_file

    def batch(self, spec: S, action: str) -> int:
        return spec.batch_size or spec.eval_config.batch_size

    def names_validation(self, spec: S) -> bool:
        return bool(spec.dataset_config.validation_data_sources)

    def truths(self, spec: S, classes: Classes, action: str) -> list[Sample]:
        if action == "inference":
            if not spec.image_dir:
                raise DataError("image_dir is not set; give the model an inference dataset.")
            return samples.unlabelled(Path(spec.image_dir))
        own = self.classes(spec)
        samples.check_classes(own, classes)
        if spec.image_dir and spec.label_dir:
            found = [Source("KITTI", Path(spec.image_dir), Path(spec.label_dir))]
        else:
            found = sources(spec.dataset_config.validation_data_sources, "dataset_config.validation_data_sources")
        return samples.read(found, own)

    def score(self, spec: S, frame: DetectionFrame, *, training: bool) -> Score[Batch]:
        config = spec.eval_config
        mode = config.average_precision_mode.lower()
        return VocScore(frame.classes, "integrate" if mode == "integrate" else "sample", config.matching_iou_threshold)

    def writer(self, spec: S, frame: DetectionFrame, folder: Path) -> DetectionWriter:
        return DetectionWriter(folder, frame, spec.threshold)


def mean_of(given: list[Weighted]) -> tuple[float, float, float]:
    """Mean a channel, red first; the entries name them by their letters, `l` for grey."""
    values = {one.key: one.value for one in given}
    grey = values.get("l")
    red, green, blue = (
        values.get(key, grey if grey is not None else own) for key, own in zip("rgb", MEAN, strict=True)
    )
    return red, green, blue


def regularised(found: Loss, model: nn.Module, frame: DetectionFrame) -> Loss:
    """With the penalty that `training_config.regularizer` of the specification adds."""
    kind = str(lookup(frame.spec, "training_config.regularizer.type") or "").strip("_")
    weight = float(lookup(frame.spec, "training_config.regularizer.weight") or 0.0)
    added = optimise.penalty(model, kind, weight)
    return found if added is None else found._replace(total=found.total + added)


def sources(given: list[DataSource], field: str) -> list[Source]:
    """Images and labels of the sources of a parameter. Raises DataError."""
    if not given:
        raise DataError(f"{field} is empty; assign a dataset to the model.")
    return [_source(one, field) for one in given]


def _source(given: DataSource, field: str) -> Source:
    if given.label_directory_path and given.image_directory_path:
        return Source("KITTI", Path(given.image_directory_path), Path(given.label_directory_path))
    place = given.tfrecords_path or given.tfrecords_directory_path or given.root_path or given.image_directory_path
    if not place:
        raise DataError(f"{field} names neither TFRecords nor folders of images and labels.")
    return samples.kitti_source(samples.beside(place))
