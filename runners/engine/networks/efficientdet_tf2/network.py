"""efficientdet_tf2 as a network of the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from runners.engine.core import optimise
from runners.engine.core.optimise import Schedule
from runners.engine.detection.efficientdet_network import EfficientDet, EfficientDetSettings, FieldNames
from runners.engine.detection.network import DetectionFrame, DetectionWriter
from runners.engine.networks.efficientdet_tf2.capabilities import CATALOGUE_EXAMPLES, Spec


class EfficientDetTf2(EfficientDet[Spec]):
    name = "efficientdet_tf2"
    spec_type = Spec
    fields = FieldNames(
        "dataset.train_tfrecords",
        "dataset.val_json_file",
        "dataset.num_classes",
        "model.input_height and input_width",
        "model.aspect_ratios",
        "train.checkpoint",
        "train.lr_schedule.learning_rate",
    )

    def settings(self, spec: Spec) -> EfficientDetSettings:
        data, model, train = spec.dataset, spec.model, spec.train
        augmentation, examples = data.augmentation, train.num_examples_per_epoch
        return EfficientDetSettings(
            train=next(iter(data.train_tfrecords), None),
            validation=next(iter(data.val_tfrecords), None),
            annotations=data.val_json_file,
            classes=data.num_classes,
            name=model.name,
            height=model.input_height,
            width=model.input_width,
            scale=model.anchor_scale,
            scales=model.num_scales,
            ratios=model.aspect_ratios,
            freeze_blocks=model.freeze_blocks,
            freeze_bn=model.freeze_bn,
            box_weight=train.box_loss_weight,
            smoothing=train.label_smoothing,
            crowds=not data.skip_crowd_during_training,
            most=data.max_instances_per_image,
            mirrored=augmentation.rand_hflip,
            smallest=augmentation.random_crop_min_scale,
            largest=augmentation.random_crop_max_scale,
            l1=train.l1_weight_decay,
            epochs=train.num_epochs,
            batch=train.batch_size,
            examples=None if examples == CATALOGUE_EXAMPLES else examples,
            seed=train.random_seed,
            mixed=train.amp,
            decay=train.moving_average_decay,
            clip=train.clip_gradients_norm,
            checkpoint_interval=train.checkpoint_interval,
            validation_interval=train.checkpoint_interval,
            start=train.checkpoint,
            gpus=spec.gpus or 1,
            confidence=spec.export.min_score_thresh,
            keep=spec.evaluate.max_detections_per_image,
        )

    def optimiser(self, spec: Spec) -> tuple[str, Callable[[nn.Module], torch.optim.Optimizer]]:
        given, decay = spec.train.optimizer, spec.train.l2_weight_decay
        if given.name == "adam":
            return "adam", lambda model: optimise.adam(model, 1e-3, weight_decay=decay, betas=(given.momentum, 0.999))
        return "sgd", lambda model: optimise.sgd(model, 1e-3, momentum=given.momentum, weight_decay=decay)

    def schedule(self, spec: Spec, steps: int) -> Schedule:
        given, total = spec.train.lr_schedule, spec.train.num_epochs * steps
        warm = round(given.warmup_epoch * steps)
        if given.name == "cosine":
            falling = optimise.cosine(given.learning_rate, total)
            return optimise.warmed(falling, warm, given.warmup_init / given.learning_rate)
        level = max(0.0, 1 - given.annealing_epoch / spec.train.num_epochs)
        low = max(given.warmup_init, 1e-9)
        return optimise.soft_start(low, given.learning_rate, total, rising=warm / total, annealing=level)

    def images(self, spec: Spec) -> tuple[str | None, str]:
        return spec.inference.image_dir, "inference.image_dir"

    def checkpoint(self, spec: Spec, action: str) -> tuple[str | None, str]:
        named: dict[str, str | None] = {
            "evaluate": spec.evaluate.checkpoint,
            "inference": spec.inference.checkpoint,
            "export": spec.export.checkpoint,
        }
        return named[action], f"{action}.checkpoint"

    def onnx_file(self, spec: Spec) -> str | None:
        return spec.export.onnx_file

    def batch(self, spec: Spec, action: str) -> int:
        return spec.inference.batch_size if action == "inference" else spec.evaluate.batch_size

    def writer(self, spec: Spec, frame: DetectionFrame, folder: Path) -> DetectionWriter:
        return DetectionWriter(folder, frame, spec.inference.min_score_thresh)


NETWORK = EfficientDetTf2()
