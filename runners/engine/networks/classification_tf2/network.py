"""classification_tf2 as a network of the engine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runners.engine.classification import settings
from runners.engine.classification.images import Images, unsorted_images
from runners.engine.classification.keras import optimiser, schedule
from runners.engine.classification.logit_score import LogitScore
from runners.engine.classification.network import ClassFrame, ClassificationNetwork, Training, folders, single
from runners.engine.classification.score import Task
from runners.engine.classification.settings import (
    Adam,
    Augment,
    Cosine,
    LrConfig,
    RmsProp,
    Sgd,
    Shape,
    SoftStart,
    Split,
    Step,
)
from runners.engine.core import state
from runners.engine.core.network import Recipe
from runners.engine.core.optimise import CLIP
from runners.engine.core.tf1 import Pruning
from runners.engine.errors import SpecError
from runners.engine.networks.classification_tf2 import capabilities
from runners.engine.networks.classification_tf2.capabilities import CATALOGUE_CLASSES, Optimisation, Rates, Spec

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")


class ClassificationTf2(ClassificationNetwork[Spec]):
    name = "classification_tf2"
    spec_type = Spec

    def shape(self, spec: Spec) -> Shape:
        return capabilities.shape(spec)

    def training(self, spec: Spec) -> Training:
        how, own = spec.dataset.augmentation, spec.train
        return Training(
            augment=Augment(
                crop=how.enable_random_crop,
                centre=how.enable_center_crop,
                colours=how.enable_color_augmentation,
                flip=not how.disable_horizontal_flip,
                mixup=how.mixup_alpha,
                method=spec.model.resize_interpolation_method,
            ),
            smoothing=own.label_smoothing,
            penalty=own.reg_config.type.upper(),
            penalty_weight=own.reg_config.weight_decay,
            penalised=settings.penalised(own.reg_config.scope),
        )

    def recipe(self, spec: Spec, run: Run) -> Recipe:
        own = spec.train
        chosen = _chosen(own.optim_config)
        rates = _rates(own.lr_config)
        resume, start = state.resume_or_start(
            own.checkpoint, state.CheckpointFolder.below(run.results, self.checkpoint_name)
        )
        return Recipe(
            epochs=own.num_epochs,
            batch=own.batch_size_per_gpu,
            optimiser=optimiser(chosen),
            schedule=lambda steps: schedule(rates, chosen.lr, chosen.decay, steps * own.num_epochs),
            seed=own.random_seed,
            checkpoint_interval=own.checkpoint_interval,
            clip_norm=CLIP,
            resume=resume,
            start=start,
            gpus=spec.gpus or 1,
            resume_field="train.checkpoint",
            start_field="train.checkpoint",
            lr_field="train.optim_config.lr",
        )

    def optimiser_name(self, spec: Spec) -> str:
        return spec.train.optim_config.optimizer

    def normalisation(self, spec: Spec, channels: int) -> tuple[list[float], list[float], bool]:
        own = spec.dataset
        mean = dict(zip("bgr" if channels == 3 else "l", own.image_mean, strict=False))
        return settings.normalisation(own.preprocess_mode, channels, mean)

    def train_images(self, spec: Spec) -> tuple[Images, list[Task]]:
        found = folders(spec.dataset.train_dataset_path, "dataset.train_dataset_path", every=True)
        wanted, count = spec.dataset.num_classes, len(found.classes)
        if wanted not in (count, CATALOGUE_CLASSES):
            raise SpecError(f"dataset.num_classes is {wanted}, but the data have {count} classes; set it to {count}.")
        if wanted != count:
            log.info("dataset.num_classes is left at %d; the data have %d classes, which is used", wanted, count)
        return found, [Task("", found.classes)]

    def action_images(self, spec: Spec, frame: ClassFrame, action: str) -> Images | None:
        if action == "inference":
            return unsorted_images(Split(spec.inference.image_dir), "inference.image_dir")
        if action == "evaluate":
            return folders(spec.evaluate.dataset_path, "evaluate.dataset_path", frame.classes)
        place = spec.dataset.val_dataset_path
        return folders(place, "dataset.val_dataset_path", frame.classes) if place else None

    def batch(self, spec: Spec, action: str) -> int:
        return spec.evaluate.batch_size

    def topk(self, spec: Spec) -> Sequence[int]:
        return (1, spec.evaluate.top_k)

    def pruning(self, spec: Spec) -> Pruning:
        return spec.prune

    def kpis(self, scores: list[LogitScore], *, training: bool) -> dict[str, float]:
        before = "val_" if training else ""
        return single(scores, f"{before}accuracy", f"{before}loss", before + "top_{}_accuracy")

    def checkpoint(self, spec: Spec, action: str) -> tuple[str | None, str]:
        named: dict[str, str | None] = {
            "evaluate": spec.evaluate.checkpoint,
            "inference": spec.inference.checkpoint,
            "export": spec.export.checkpoint,
            "prune": spec.prune.checkpoint,
        }
        return named[action], f"{action}.checkpoint"

    def onnx_file(self, spec: Spec) -> str | None:
        return spec.export.onnx_file


def _chosen(given: Optimisation) -> Sgd | Adam | RmsProp:
    if given.optimizer == "adam":
        return Adam(given.lr, given.decay, given.beta_1, given.beta_2, given.epsilon)
    if given.optimizer == "rmsprop":
        return RmsProp(given.lr, given.decay, given.rho, given.epsilon)
    return Sgd(given.lr, given.decay, given.momentum, given.nesterov)


def _rates(given: Rates | None) -> LrConfig:
    if given is None:
        return LrConfig()
    rate = given.learning_rate
    if given.scheduler == "step":
        return LrConfig(step=Step(rate, given.step_size, given.gamma))
    if given.scheduler == "soft_anneal":
        return LrConfig(soft_anneal=SoftStart(rate, given.soft_start, given.annealing_divider, given.annealing_points))
    return LrConfig(cosine=Cosine(rate, given.soft_start, given.min_lr_ratio))


NETWORK = ClassificationTf2()
