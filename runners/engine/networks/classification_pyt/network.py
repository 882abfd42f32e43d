"""Image classification on the core: data, model, loss, score and files of classification_pyt."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch
from torch import nn

from runners.engine.classification import images
from runners.engine.classification.data import ImageSet, Labelled
from runners.engine.classification.images import Images
from runners.engine.classification.pipeline import Pipeline, evaluation_entries
from runners.engine.classification.score import ClassScore, ClassWriter, Task
from runners.engine.classification.settings import Split
from runners.engine.core.loading import Samples
from runners.engine.core.network import Frame, Loss, Network, Plan, Recipe
from runners.engine.core.pixels import scaled
from runners.engine.errors import SpecError
from runners.engine.networks.classification_pyt import models, optimise, settings
from runners.engine.networks.classification_pyt.models import Architecture
from taod.documents import Document

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")

DEFAULT_PIPELINE: list[Document] = [
    {"type": "RandomResizedCrop", "size": 224},
    {"type": "RandomFlip", "flip_prob": 0.5},
]


class Kept(Frame, frozen=True, kw_only=True):
    """Of a classifier: its architecture, and how images come to it."""

    architecture: Architecture
    mean: list[float]
    std: list[float]
    """On the 0-255 scale."""
    pipeline: list[Document]
    """Entries that bring val and test images to the model's size."""

    def fixed(self) -> Document:
        return {"classes": self.classes, "optimizer": self.optimizer, **msgspec.to_builtins(self.architecture)}

    @property
    def size(self) -> tuple[int, int]:
        return self.architecture.height, self.architecture.width


class Classification(Network[settings.Spec, Kept, Labelled]):
    name = "classification_pyt"
    spec_type = settings.Spec
    frame_type = Kept
    output_names = ("logits",)
    verb = "classified"
    remedy = images.REMEDY

    def plan(self, spec: settings.Spec, run: Run) -> Plan[Kept, Labelled]:
        config, data = spec.train.train_config, spec.dataset.data
        for hook in config.custom_hooks:
            log.warning("train.train_config.custom_hooks: %s is not in the engine and is left out", hook.get("type"))
        found = images.in_classes(data.train, "dataset.data.train.data_prefix", every=True)
        _check_classes(spec.model.head.num_classes, found)
        pipeline = Pipeline(data.train.pipeline or DEFAULT_PIPELINE, "dataset.data.train")
        norm = pipeline.norm or spec.dataset.img_norm_cfg
        backbone = spec.model.backbone
        architecture, notes = models.plan(backbone.type, backbone.custom_args, len(found.classes), pipeline.size)
        for note in notes:
            log.info("%s", note)
        frame = Kept(
            architecture=architecture,
            classes=found.classes,
            mean=list(norm.mean),
            std=list(norm.std),
            pipeline=data.val.pipeline or evaluation_entries(pipeline),
            optimizer=config.optimizer.type,
        )
        about = f"{backbone.type}, input {pipeline.size[0]}x{pipeline.size[1]}"
        samples: Samples[Labelled] = ImageSet(found, pipeline)
        validation = _validation(spec, frame) if config.validate else None
        return Plan(frame=frame, recipe=_recipe(spec), samples=samples, validation=validation, about=about)

    def build(self, frame: Kept) -> nn.Module:
        return models.build(frame.architecture)

    def loss(self, model: nn.Module, data: Labelled, plan: Plan[Kept, Labelled], step: int) -> Loss:
        settled = settings.of(plan.frame.spec).model.head.loss
        logits = model(scaled(data.pixels, plan.frame.mean, plan.frame.std))
        loss = nn.functional.cross_entropy(logits, data.labels, label_smoothing=settled.smoothing)
        hits = (logits.detach().argmax(dim=1) == data.labels).sum()
        return Loss(loss * settled.loss_weight, {"accuracy_top-1": hits})

    def inputs(self, data: Labelled, frame: Kept) -> tuple[torch.Tensor, ...]:
        return (scaled(data.pixels, frame.mean, frame.std),)

    def score(self, spec: settings.Spec, frame: Kept, *, training: bool) -> ClassScore:
        wanted = spec.evaluate.topk
        topk = (1, 5) if training else (5,) if wanted is None else (wanted,) if isinstance(wanted, int) else wanted
        return ClassScore([Task("", frame.classes)], topk, lambda scores: scores[0].kpi(), precision=not training)

    def checkpoint(self, spec: settings.Spec, action: str) -> tuple[str | None, str]:
        named: dict[str, str | None] = {
            "evaluate": spec.evaluate.checkpoint,
            "inference": spec.inference.checkpoint,
            "export": spec.export.checkpoint,
        }
        return named[action], f"{action}.checkpoint"

    def samples(self, spec: settings.Spec, frame: Kept, action: str) -> tuple[Samples[Labelled], int, int | None]:
        """An evaluation reads `dataset.data.val`, which is where the catalogue puts the evaluation dataset; where that
        is not set, `dataset.data.test` by class folder. An inference reads all images below `dataset.data.test`."""
        data = spec.dataset.data
        split, where = data.test, "dataset.data.test"
        if action == "evaluate":
            if data.val.data_prefix:
                split, where = data.val, "dataset.data.val"
            found, batch = images.in_classes(split, f"{where}.data_prefix", frame.classes), spec.evaluate.batch_size
        else:
            found, batch = images.unsorted_images(split, f"{where}.data_prefix"), spec.inference.batch_size
        return ImageSet(found, _pipeline(split, frame, where)), batch or data.samples_per_gpu, data.workers_per_gpu

    def writer(self, spec: settings.Spec, frame: Kept, folder: Path) -> ClassWriter:
        return ClassWriter(folder, [Task("", frame.classes)])

    def tolerant(self, spec: settings.Spec) -> bool:
        return spec.dataset.data.skip_unreadable

    def onnx_file(self, spec: settings.Spec) -> str | None:
        return spec.export.onnx_file

    def check_export(self, spec: settings.Spec, frame: Kept) -> None:
        """The trained size counts; another size is rejected where the user set it, not where it is the default."""
        asked = (spec.export.input_height, spec.export.input_width)
        if asked == frame.size:
            return
        if asked != (settings.CATALOGUE_SIDE, settings.CATALOGUE_SIDE):
            raise SpecError(
                f"export.input_height and input_width are {asked[0]} and {asked[1]}; the model was trained at "
                f"{frame.size[0]} and {frame.size[1]}."
            )
        log.info("export.input_height, input_width are left at %d; the model's %dx%d is used", asked[0], *frame.size)

    def input_size(self, frame: Kept) -> tuple[int, int, int]:
        return 3, *frame.size

    def metadata(self, frame: Kept, spec: settings.Spec) -> Document:
        return {"mean": frame.mean, "std": frame.std, "pipeline": frame.pipeline}

    def frame_of_metadata(self, metadata: dict[str, msgspec.Raw]) -> Kept:
        decoded = {key: msgspec.json.decode(metadata[key]) for key in ("classes", "mean", "std", "pipeline")}
        height, width = msgspec.json.decode(metadata["input_size"], type=tuple[int, int])
        architecture = Architecture("", {}, len(decoded["classes"]), height, width)
        return msgspec.convert({**decoded, "architecture": architecture, "optimizer": ""}, Kept)


def _recipe(spec: settings.Spec) -> Recipe:
    config, data = spec.train.train_config, spec.dataset.data
    clip = config.optimizer_config.grad_clip
    return Recipe(
        epochs=config.runner.max_epochs,
        batch=data.samples_per_gpu,
        optimiser=lambda model: optimise.optimiser(config.optimizer, model),
        schedule=lambda steps: optimise.schedule(
            config.lr_config, config.optimizer.lr, steps, config.runner.max_epochs
        ),
        seed=spec.seed,
        workers=data.workers_per_gpu,
        precision=config.precision,
        deterministic=spec.train.exp_config.deterministic,
        clip_norm=clip.max_norm if clip else None,
        checkpoint_interval=config.checkpoint_config.interval,
        keep=config.checkpoint_config.max_keep_ckpts,
        validation_interval=config.evaluation.interval,
        logging_interval=config.logging.interval,
        resume=config.resume_training_checkpoint_path,
        start=spec.model.init_cfg.checkpoint.split(",")[0] if spec.model.init_cfg.checkpoint else None,
        gpus=max(spec.gpus or 1, spec.train.num_gpus or 1),
        tolerant=data.skip_unreadable,
        resume_field="train.train_config.resume_training_checkpoint_path",
        start_field="model.init_cfg.checkpoint",
        lr_field="train.train_config.optimizer.lr",
        precision_field="train.train_config.precision",
    )


def _validation(spec: settings.Spec, frame: Kept) -> ImageSet | None:
    data = spec.dataset.data
    if not data.val.data_prefix:
        log.info("No validation: dataset.data.val.data_prefix is not set")
        return None
    found = images.in_classes(data.val, "dataset.data.val.data_prefix", frame.classes)
    pipeline = Pipeline(frame.pipeline, "dataset.data.val")
    if pipeline.size != frame.size:
        raise SpecError(
            f"dataset.data.val.pipeline makes images of {pipeline.size}, dataset.data.train's of {frame.size}."
        )
    return ImageSet(found, pipeline)


def _pipeline(split: Split, frame: Kept, where: str) -> Pipeline:
    """The split's own pipeline where the spec has one, else the one kept with the model. Raises SpecError."""
    pipeline = Pipeline(split.pipeline or frame.pipeline, where)
    if pipeline.size != frame.size:
        raise SpecError(f"{where}.pipeline makes images of {pipeline.size}, the model wants {frame.size}.")
    if pipeline.norm and (list(pipeline.norm.mean), list(pipeline.norm.std)) != (frame.mean, frame.std):
        log.warning("%s.pipeline normalises otherwise than in training; the training's mean and std are used", where)
    return pipeline


def _check_classes(wanted: int, found: Images) -> None:
    """The data decide the number of classes; a number in the specification must agree."""
    count = len(found.classes)
    if wanted == count:
        return
    if wanted != settings.CATALOGUE_CLASSES:
        raise SpecError(f"model.head.num_classes is {wanted}, but the data have {count} classes; set it to {count}.")
    log.info("model.head.num_classes is left at %d; the data have %d classes, which is used", wanted, count)


NETWORK = Classification()
