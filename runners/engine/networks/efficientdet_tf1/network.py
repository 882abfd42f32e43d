"""efficientdet_tf1 as a network of the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from runners.engine.core import optimise
from runners.engine.core.optimise import Schedule
from runners.engine.detection.efficientdet_network import EfficientDet, EfficientDetSettings, FieldNames
from runners.engine.detection.network import DetectionFrame, DetectionWriter
from runners.engine.detection.settings import numbers
from runners.engine.errors import SpecError
from runners.engine.networks.efficientdet_tf1.capabilities import CATALOGUE_EXAMPLES, Spec

MOMENTUM = 0.9
LEAST_SCORE = 0.001
"""Chance below which a detection counts for nothing."""


class EfficientDetTf1(EfficientDet[Spec]):
    name = "efficientdet_tf1"
    spec_type = Spec
    checkpoint_name = "weights/model.epoch-{epoch}.pth"
    fields = FieldNames(
        "dataset_config.training_file_pattern",
        "dataset_config.validation_json_file",
        "dataset_config.num_classes",
        "dataset_config.image_size",
        "model_config.aspect_ratios",
        "training_config.checkpoint",
        "training_config.learning_rate",
    )

    def settings(self, spec: Spec) -> EfficientDetSettings:
        data, model, train, evaluation = spec.dataset_config, spec.model_config, spec.training_config, spec.eval_config
        augmentation, examples = spec.augmentation_config, train.num_examples_per_epoch
        size = numbers(f"[{data.image_size.strip('()[] ')}]", self.fields.size) or []
        if len(size) != 2:
            raise SpecError(f"{self.fields.size} '{data.image_size}' must be height and width.")
        return EfficientDetSettings(
            train=data.training_file_pattern,
            validation=data.validation_file_pattern,
            annotations=data.validation_json_file,
            classes=data.num_classes,
            name=model.model_name,
            height=int(size[0]),
            width=int(size[1]),
            scale=model.anchor_scale,
            scales=model.num_scales,
            ratios=model.aspect_ratios,
            crowds=not data.skip_crowd_during_training,
            most=data.max_instances_per_image,
            mirrored=augmentation.rand_hflip,
            smallest=augmentation.random_crop_min_scale,
            largest=augmentation.random_crop_max_scale,
            l1=train.l1_weight_decay,
            epochs=train.num_epochs,
            batch=train.train_batch_size,
            examples=None if examples == CATALOGUE_EXAMPLES else examples,
            seed=train.tf_random_seed,
            mixed=train.amp or spec.use_amp,
            decay=train.moving_average_decay,
            clip=train.clip_gradients_norm,
            checkpoint_interval=train.checkpoint_period,
            validation_interval=evaluation.eval_epoch_cycle,
            start=train.checkpoint,
            gpus=spec.gpus or 1,
            confidence=LEAST_SCORE,
            keep=evaluation.max_detections_per_image,
        )

    def optimiser(self, spec: Spec) -> tuple[str, Callable[[nn.Module], torch.optim.Optimizer]]:
        decay = spec.training_config.l2_weight_decay
        return "sgd", lambda model: optimise.sgd(model, 1e-3, momentum=MOMENTUM, weight_decay=decay)

    def schedule(self, spec: Spec, steps: int) -> Schedule:
        train = spec.training_config
        falling = optimise.cosine(train.learning_rate, train.num_epochs * steps)
        ratio = train.lr_warmup_init / train.learning_rate
        return optimise.warmed(falling, round(train.lr_warmup_epoch * steps), ratio)

    def images(self, spec: Spec) -> tuple[str | None, str]:
        return spec.image_dir, "image_dir"

    def checkpoint(self, spec: Spec, action: str) -> tuple[str | None, str]:
        return spec.model_path, "model_path"

    def onnx_file(self, spec: Spec) -> str | None:
        return spec.output_path

    def batch(self, spec: Spec, action: str) -> int:
        return spec.batch_size or spec.eval_config.eval_batch_size

    def writer(self, spec: Spec, frame: DetectionFrame, folder: Path) -> DetectionWriter:
        given = spec.eval_config.min_score_thresh if spec.threshold is None else spec.threshold
        return DetectionWriter(folder, frame, given)


NETWORK = EfficientDetTf1()
