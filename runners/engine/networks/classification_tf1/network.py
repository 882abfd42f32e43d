"""classification_tf1 as a network of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runners.engine.classification import settings
from runners.engine.classification.images import Images, unsorted_images
from runners.engine.classification.keras import optimiser, schedule
from runners.engine.classification.logit_score import LogitScore
from runners.engine.classification.network import ClassFrame, ClassificationNetwork, Training, folders, single
from runners.engine.classification.score import Task
from runners.engine.classification.settings import Augment, Shape, Split
from runners.engine.core import state
from runners.engine.core.network import Recipe
from runners.engine.core.optimise import CLIP
from runners.engine.core.tf1 import Pruning
from runners.engine.networks.classification_tf1.capabilities import Spec

if TYPE_CHECKING:
    from runners.engine.run import Run

_TRAIN, _VALIDATION = "train_config.train_dataset_path", "train_config.val_dataset_path"
_EVALUATION = "eval_config.eval_dataset_path"


class ClassificationTf1(ClassificationNetwork[Spec]):
    name = "classification_tf1"
    spec_type = Spec

    def shape(self, spec: Spec) -> Shape:
        return settings.shape(spec.model_config)

    def training(self, spec: Spec) -> Training:
        own = spec.train_config
        return Training(
            augment=Augment(
                crop=own.enable_random_crop,
                centre=own.enable_center_crop,
                colours=own.enable_color_augmentation,
                flip=not own.disable_horizontal_flip,
                mixup=own.mixup_alpha,
                method=spec.model_config.resize_interpolation_method.lower() or "bilinear",
            ),
            smoothing=own.label_smoothing,
            penalty=own.reg_config.type,
            penalty_weight=own.reg_config.weight_decay,
            penalised=settings.penalised(own.reg_config.scope.split(",")),
        )

    def recipe(self, spec: Spec, run: Run) -> Recipe:
        own = spec.train_config
        chosen = own.optimizer.chosen
        resume, start = state.resume_or_start(
            own.pretrained_model_path, state.CheckpointFolder.below(run.results, self.checkpoint_name)
        )
        return Recipe(
            epochs=own.n_epochs,
            batch=own.batch_size_per_gpu,
            optimiser=optimiser(chosen),
            schedule=lambda steps: schedule(own.lr_config, chosen.lr, chosen.decay, steps * own.n_epochs),
            seed=own.random_seed,
            precision="auto" if spec.use_amp else "fp32",
            clip_norm=CLIP,
            resume=resume,
            start=start,
            gpus=spec.gpus or 1,
            resume_field="train_config.pretrained_model_path",
            start_field="train_config.pretrained_model_path",
            lr_field="train_config.lr_config",
            precision_field="use_amp",
        )

    def optimiser_name(self, spec: Spec) -> str:
        return type(spec.train_config.optimizer.chosen).__name__.lower()

    def normalisation(self, spec: Spec, channels: int) -> tuple[list[float], list[float], bool]:
        own = spec.train_config
        return settings.normalisation(own.preprocess_mode, channels, {one.key: one.value for one in own.image_mean})

    def train_images(self, spec: Spec) -> tuple[Images, list[Task]]:
        found = folders(spec.train_config.train_dataset_path, _TRAIN, every=True)
        return found, [Task("", found.classes)]

    def action_images(self, spec: Spec, frame: ClassFrame, action: str) -> Images | None:
        if action == "inference":
            return unsorted_images(Split(spec.image_dir), "image_dir")
        if action == "evaluate":
            return folders(spec.eval_config.eval_dataset_path, _EVALUATION, frame.classes)
        place = spec.train_config.val_dataset_path
        return folders(place, _VALIDATION, frame.classes) if place else None

    def batch(self, spec: Spec, action: str) -> int:
        return spec.batch_size or spec.eval_config.batch_size

    def topk(self, spec: Spec) -> Sequence[int]:
        return (1, spec.eval_config.top_k)

    def centre(self, spec: Spec, frame: ClassFrame) -> bool:
        return spec.eval_config.enable_center_crop

    def pruning(self, spec: Spec) -> Pruning:
        return spec.pruning()

    def kpis(self, scores: list[LogitScore], *, training: bool) -> dict[str, float]:
        return single(scores, "validation_accuracy", "validation_loss", "top_{}_accuracy")

    def checkpoint(self, spec: Spec, action: str) -> tuple[str | None, str]:
        if action in ("export", "prune"):
            return spec.model, "model"
        return spec.model_path or spec.eval_config.model_path, "model_path"

    def onnx_file(self, spec: Spec) -> str | None:
        return spec.output_file


NETWORK = ClassificationTf1()
