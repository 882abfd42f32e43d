"""multitask_classification as a network of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from runners.engine.classification import settings, table
from runners.engine.classification.images import Images, unsorted_images
from runners.engine.classification.logit_score import LogitScore
from runners.engine.classification.network import ClassFrame, ClassificationNetwork, Training
from runners.engine.classification.score import Task
from runners.engine.classification.settings import Augment, Shape, Split
from runners.engine.classification.table import Table
from runners.engine.core import tf1_recipe
from runners.engine.core.network import Recipe
from runners.engine.core.tf1 import Pruning
from runners.engine.networks.multitask_classification.capabilities import Spec

if TYPE_CHECKING:
    from runners.engine.run import Run

_IMAGES = "dataset_config.image_directory_path"
_TRAIN, _VALIDATION = "dataset_config.train_csv_path", "dataset_config.val_csv_path"


class Multitask(ClassificationNetwork[Spec]):
    name = "multitask_classification"
    spec_type = Spec

    def shape(self, spec: Spec) -> Shape:
        return settings.shape(spec.model_config)

    def training(self, spec: Spec) -> Training:
        regularizer = spec.training_config.regularizer
        method = spec.model_config.resize_interpolation_method.lower() or "bilinear"
        return Training(
            augment=Augment(crop=True, flip=True, method=method),
            penalty=regularizer.type,
            penalty_weight=regularizer.weight,
        )

    def recipe(self, spec: Spec, run: Run) -> Recipe:
        return tf1_recipe.recipe(spec.training_config, seed=spec.random_seed, gpus=spec.gpus or 1, mixed=spec.use_amp)

    def optimiser_name(self, spec: Spec) -> str:
        return spec.training_config.optimizer.name

    def normalisation(self, spec: Spec, channels: int) -> tuple[list[float], list[float], bool]:
        return settings.normalisation("caffe", channels, {})

    def train_images(self, spec: Spec) -> tuple[Table, list[Task]]:
        own = spec.dataset_config
        found, tasks = table.read(own.train_csv_path, own.image_directory_path, (_TRAIN, _IMAGES))
        return found, [Task(name, classes) for name, classes in tasks.items()]

    def action_images(self, spec: Spec, frame: ClassFrame, action: str) -> Images | Table | None:
        own, tasks = spec.dataset_config, {task.name: task.classes for task in frame.tasks}
        if action == "inference":
            return unsorted_images(Split(spec.image_dir), "image_dir")
        if action == "confmat":
            return table.read(spec.target_csv, spec.img_root, ("target_csv", "img_root"), tasks)[0]
        if action == "train" and not own.val_csv_path:
            return None
        return table.read(own.val_csv_path, own.image_directory_path, (_VALIDATION, _IMAGES), tasks)[0]

    def batch(self, spec: Spec, action: str) -> int:
        return spec.batch_size or spec.training_config.batch_size_per_gpu

    def pruning(self, spec: Spec) -> Pruning:
        return spec.pruning()

    def kpis(self, scores: list[LogitScore], *, training: bool) -> dict[str, float]:
        values = [score.kpi() for score in scores]
        return {
            "mean accuracy": float(np.mean([one["accuracy_top-1"] for one in values])),
            "loss": float(np.sum([one["loss"] for one in values])),
        }

    def checkpoint(self, spec: Spec, action: str) -> tuple[str | None, str]:
        return (spec.model, "model") if action in ("export", "confmat", "prune") else (spec.model_path, "model_path")

    def onnx_file(self, spec: Spec) -> str | None:
        return spec.output_file


NETWORK = Multitask()
