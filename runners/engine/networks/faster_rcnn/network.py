"""Faster R-CNN (Ren et al. 2015, arXiv:1506.01497) as a network of the engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch
from torch import nn

from runners.engine.core import images, optimise
from runners.engine.core.loading import Samples
from runners.engine.core.network import Loss, Plan, Recipe, Score
from runners.engine.core.optimise import Schedule
from runners.engine.data.boxes import Source
from runners.engine.detection import backbones, samples, tf1, two_stage
from runners.engine.detection.data import Batch, DetectionSamples
from runners.engine.detection.metrics import Mode
from runners.engine.detection.network import Detection, DetectionFrame, DetectionWriter, VocScore
from runners.engine.detection.nms import Detector, Nms
from runners.engine.detection.samples import Classes, Sample
from runners.engine.detection.transforms import Boxed, Noise, Steps, Transform, Warp, sanitized
from runners.engine.detection.two_stage import ProposalSettings, ProposalTraining, RegionTraining, Shape, TwoStage
from runners.engine.errors import DataError, SpecError
from runners.engine.networks.faster_rcnn.capabilities import DetectionSettings, Optimizer, Sgd, SoftStart, Spec

if TYPE_CHECKING:
    from runners.engine.run import Run


class FasterRcnn(Detection[Spec]):
    name = "faster_rcnn"
    spec_type = Spec
    probe_names = two_stage.PROBES

    def plan(self, spec: Spec, run: Run) -> Plan[DetectionFrame, Batch]:
        config = spec.model_config.input_image_config
        classes = samples.mapped(spec.dataset_config.mapping)
        factor = config.image_scaling_factor
        held_out = _held_out(spec, classes) if spec.dataset_config.validation_data_source else None
        train = samples.read(tf1.sources(spec.dataset_config.data_sources, "dataset_config.data_sources"), classes)
        height, width = _input_size(spec, [*train, *(held_out or [])])
        frame = DetectionFrame(
            classes=classes.names,
            ids=classes.ids,
            optimizer="adam" if spec.training_config.optimizer.adam else "sgd",
            height=height,
            width=width,
            keeps_aspect=config.size_min is not None,
            shorter=config.size_min.min if config.size_min else None,
            mean=tf1.mean_of(config.image_channel_mean),
            std=(factor, factor, factor),
            grey=config.image_type == "GRAY_SCALE",
            model=msgspec.to_builtins(_shape(spec, len(classes.names))),
        )
        return Plan(
            frame=frame,
            recipe=_recipe(spec),
            samples=DetectionSamples(train, frame.fit, _Training(spec, frame.fit), grey=frame.grey),
            validation=self.evaluation_samples(held_out, frame) if held_out is not None else None,
            about=f"{spec.model_config.arch} at {frame.width}x{frame.height}, {len(frame.classes)} classes",
        )

    def build(self, frame: DetectionFrame) -> Detector:
        return TwoStage(msgspec.convert(frame.model, Shape), frame.height, frame.width)

    def loss(self, model: nn.Module, data: Batch, plan: Plan[DetectionFrame, Batch], step: int) -> Loss:
        return tf1.regularised(super().loss(model, data, plan, step), model, plan.frame)

    def deployed(self, model: nn.Module, frame: DetectionFrame, spec: Spec) -> nn.Module:
        given = _proposal_settings(spec)
        asked = ProposalSettings(given.rpn_pre_nms_top_N, given.rpn_nms_max_boxes, given.rpn_nms_overlap_threshold)
        return two_stage.selecting(model, asked, self.nms(spec, frame))

    def nms(self, spec: Spec, frame: DetectionFrame) -> Nms:
        given = _proposal_settings(spec)
        return Nms(
            given.object_confidence_thres, given.classifier_nms_overlap_threshold, given.classifier_nms_max_boxes
        )

    def checkpoint(self, spec: Spec, action: str) -> tuple[str | None, str]:
        return (spec.model, "model") if action == "export" else (spec.model_path, "model_path")

    def onnx_file(self, spec: Spec) -> str | None:
        return spec.output_file

    def batch(self, spec: Spec, action: str) -> int:
        return spec.batch_size or _proposal_settings(spec).batch_size

    def truths(self, spec: Spec, classes: Classes, action: str) -> list[Sample]:
        if action == "inference":
            if not spec.inference_config.images_dir:
                raise DataError("inference_config.images_dir is not set; give the model an inference dataset.")
            return samples.unlabelled(Path(spec.inference_config.images_dir))
        own = samples.mapped(spec.dataset_config.mapping)
        samples.check_classes(own, classes)
        if spec.image_dir and spec.label_dir:
            return samples.read([Source("KITTI", Path(spec.image_dir), Path(spec.label_dir))], own)
        return _held_out(spec, own)

    def calibration(self, spec: Spec, frame: DetectionFrame) -> tuple[Samples[Batch], int, int | None]:
        named = msgspec.structs.replace(spec.inference_config, images_dir=spec.cal_image_dir)
        return self.samples(msgspec.structs.replace(spec, inference_config=named), frame, "inference")

    def score(self, spec: Spec, frame: DetectionFrame, *, training: bool) -> Score[Batch]:
        config = spec.evaluation_config
        mode: Mode = "sample" if config.use_voc07_11point_metric else "integrate"
        limits = config.gt_matching_iou_threshold_range
        if limits is None:
            return VocScore(frame.classes, mode, config.gt_matching_iou_threshold)
        return _Mean(frame.classes, mode, list(np.arange(limits.start, limits.end + 1e-9, limits.step)))

    def writer(self, spec: Spec, frame: DetectionFrame, folder: Path) -> DetectionWriter:
        return DetectionWriter(folder, frame, spec.inference_config.bbox_visualize_threshold)


class _Mean(VocScore):
    """The mean over several thresholds of the IoU."""

    def __init__(self, names: list[str], mode: Mode, limits: list[float]) -> None:
        super().__init__(names, mode, limits[0])
        self._limits = limits

    def measure(self) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        each = []
        for limit in self._limits:
            self._threshold = limit
            each.append(super().measure())
        kpis, classes = zip(*each, strict=True)
        key, group = "mean average precision", "average precision"
        return (
            {key: float(np.mean([one[key] for one in kpis]))},
            {group: {name: float(np.mean([one[group][name] for one in classes])) for name in classes[0][group]}},
        )


def _proposal_settings(spec: Spec) -> DetectionSettings:
    """An inference names its images; all else is measured, or exported to be."""
    return spec.inference_config if spec.inference_config.images_dir else spec.evaluation_config


def _held_out(spec: Spec, classes: Classes) -> list[Sample]:
    source = spec.dataset_config.validation_data_source
    field = "dataset_config.validation_data_source"
    return samples.read(tf1.sources([source] if source else [], field), classes)


def _input_size(spec: Spec, images_: Sequence[Sample]) -> tuple[int, int]:
    """Height and width of the input: with `size_min` that of the largest image as it is scaled."""
    config, most = spec.model_config.input_image_config, spec.augmentation_config.preprocessing.output_image_max
    if config.size_min is None:
        return config.size.height, config.size.width
    shorter, height, width = config.size_min.min, 0, 0
    for size in {images.size(sample.path) for sample in images_}:
        factor = shorter / min(size)
        if most:
            factor = min(factor, most / max(size))
        width, height = max(width, round(size[0] * factor)), max(height, round(size[1] * factor))
    return height, width


def _shape(spec: Spec, classes: int) -> Shape:
    """Raises SpecError naming the parameter."""
    model, train = spec.model_config, spec.training_config
    name = model.arch.replace(":", "_")
    kind = name.rstrip("0123456789_")
    if "_" not in name and kind != name:  # vgg16
        name = f"{kind}_{name[len(kind) :]}"
    boxes = model.anchor_box_config
    roots = [math.sqrt(ratio) for ratio in boxes.ratio]
    if not boxes.scale or not roots:
        raise SpecError("model_config.anchor_box_config needs at least one scale and one ratio.")
    codes = {one.key: one.value for one in train.classifier_regr_std}
    return Shape(
        backbone=backbones.name_of(name, None, "model_config"),
        classes=classes,
        strides=[model.rpn_stride],
        anchors=[[(side * root, side / root) for side in boxes.scale for root in roots]],
        freeze_blocks=[int(block) for block in model.freeze_blocks],
        freeze_bn=model.freeze_bn,
        proposals=ProposalTraining(
            asked=ProposalSettings(train.rpn_pre_nms_top_N, train.rpn_nms_max_boxes, train.rpn_nms_overlap_threshold),
            positive=train.rpn_max_overlap,
            negative=train.rpn_min_overlap,
            batch=train.rpn_mini_batch,
            class_weight=train.lambda_rpn_class,
            box_weight=train.lambda_rpn_regr,
            scaling=train.std_scaling,
        ),
        regions=RegionTraining(
            positive=train.classifier_max_overlap,
            low=train.classifier_min_overlap,
            high=train.classifier_max_overlap,
            batch=model.roi_mini_batch,
            share=0.5,
            truths=train.gt_as_roi,
            pool=model.roi_pooling_config.pool_size * (2 if model.roi_pooling_config.pool_size_2x else 1),
            dropout=model.dropout_rate,
            codes=(codes.get("x", 10.0), codes.get("y", 10.0), codes.get("w", 5.0), codes.get("h", 5.0)),
            class_weight=train.lambda_cls_class,
            box_weight=train.lambda_cls_regr,
        ),
    )


class _Training:
    """What is done to the images of a training."""

    def __init__(self, spec: Spec, fit: Transform) -> None:
        config = spec.augmentation_config
        given = config.preprocessing
        self._most = spec.model_config.input_image_config.max_objects_num_per_image
        self._smallest = (given.min_bbox_width, given.min_bbox_height)
        steps: list[Transform] = [fit]
        if spec.training_config.enable_augmentation:
            steps += [Warp(config.spatial_augmentation), Noise(config.color_augmentation)]
        self._steps = Steps(*steps)

    def __call__(self, boxed: Boxed) -> Boxed:
        found = sanitized(self._steps(boxed), self._smallest)
        return found._replace(boxes=found.boxes[: self._most], labels=found.labels[: self._most])


def _recipe(spec: Spec) -> Recipe:
    config = spec.training_config
    given = config.learning_rate.soft_start
    if given is None:
        raise SpecError("training_config.learning_rate has no schedule; set soft_start.")
    return Recipe(
        epochs=config.num_epochs,
        batch=config.batch_size_per_gpu,
        optimiser=_optimiser(config.optimizer),
        schedule=lambda steps: _schedule(given, steps * config.num_epochs),
        seed=spec.random_seed,
        precision="auto" if spec.use_amp else "fp32",
        clip_norm=optimise.CLIP,
        checkpoint_interval=config.checkpoint_interval,
        validation_interval=spec.evaluation_config.validation_period_during_training,
        patience=config.early_stopping.patience if config.early_stopping else None,
        resume=config.resume_from_model or None,
        start=config.pretrained_weights or None,
        gpus=spec.gpus or 1,
        resume_field="training_config.resume_from_model",
        start_field="training_config.pretrained_weights",
        lr_field="training_config.learning_rate",
        precision_field="use_amp",
    )


def _schedule(given: SoftStart, total: int) -> Schedule:
    points = [round(point * total) for point in given.annealing_points]
    falling = optimise.stepped(given.base_lr, 1 / given.annealing_divider, points)
    return optimise.warmed(falling, round(given.soft_start * total), given.start_lr / given.base_lr)


def _optimiser(given: Optimizer) -> Callable[[nn.Module], torch.optim.Optimizer]:
    if given.adam:
        adam = given.adam
        return lambda model: optimise.adam(model, 1e-3, betas=(adam.beta_1, adam.beta_2), eps=adam.epsilon)
    sgd = given.sgd or Sgd()
    return lambda model: optimise.sgd(model, 1e-3, momentum=sgd.momentum, nesterov=sgd.nesterov)


NETWORK = FasterRcnn()
