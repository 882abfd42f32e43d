"""What the engine offers for classification_pyt, as plain data: actions, backbones, options. No heavy imports."""

from __future__ import annotations

from runners.engine.classification.settings import PIPELINE, PIPELINE_SILENT
from runners.engine.core.offer import EXPORT, TRAINING, Offer
from runners.engine.errors import SpecError
from runners.engine.networks.classification_pyt import backbones, settings
from runners.engine.spec import lookup
from taod.documents import Document

BACKBONES = tuple(backbones.BACKBONES)
OPTIMIZERS = ("AdamW", "Adam", "SGD")
LR_POLICIES = ("CosineAnnealing", "step", "poly", "exp", "fixed")
LOSSES = ("CrossEntropyLoss", "LabelSmoothLoss")
HEADS = ("LinearClsHead", "FANLinearClsHead", "TAOLinearHead")
"""All of them are one linear layer on the pooled features here."""


def check(action: str, document: Document) -> None:
    """Raise SpecError for the first thing in the spec that the engine cannot do.

    Evaluate, export and inference take the architecture from the checkpoint, so only train reads model.
    """
    found = settings.of(document)
    for split in ("train", "val", "test"):
        _check_split(document, split)
    if action == "train":
        _check_model(found)
        _check_training(found.train.train_config)


def _check_split(document: Document, split: str) -> None:
    where = f"dataset.data.{split}"
    if lookup(document, f"{where}.ann_file"):
        raise SpecError(f"{where}.ann_file is not read by the engine: classes come from folders; leave it empty.")
    entries = lookup(document, f"{where}.pipeline") or []
    for number, entry in enumerate(entries):
        name = entry.get("type") if isinstance(entry, dict) else entry
        _one_of(f"{where}.pipeline[{number}].type", name, PIPELINE, also=PIPELINE_SILENT)


def _check_model(found: settings.Spec) -> None:
    backbone = found.model.backbone
    backbones.resolve(backbone.type, backbone.custom_args, None)
    head = found.model.head
    _one_of("model.head.type", head.type, HEADS)
    _one_of("model.head.loss.type", head.loss.type, LOSSES)
    if head.loss.use_soft:
        raise SpecError("model.head.loss.use_soft is true, but class folders give hard labels; set it to false.")


def _check_training(training: settings.TrainConfig) -> None:
    _one_of("train.train_config.optimizer.type", training.optimizer.type, OPTIMIZERS)
    _one_of("train.train_config.lr_config.policy", training.lr_config.policy, LR_POLICIES)


def _one_of(path: str, value: object, known: tuple[str, ...], also: tuple[str, ...] = ()) -> None:
    if value not in known and value not in also:
        raise SpecError(f"{path} '{value}' is not in the engine; it has {', '.join(known)}.")


OFFER = Offer(
    spec=settings.Spec,
    actions={
        "train": (*TRAINING, "transformers"),
        "evaluate": (*TRAINING, "transformers", "onnxruntime"),
        "export": (*EXPORT, "transformers"),
        "inference": (*TRAINING, "transformers", "onnxruntime"),
    },
    check=check,
    rejected={
        f"dataset.data.{split}.ann_file": "classes come from folders; leave it empty"
        for split in ("train", "val", "test")
    },
    without_effect={
        "model.init_cfg.type": "model.init_cfg.checkpoint decides",
        "model.head.custom_args": "the head is one linear layer",
        "train.train_config.find_unused_parameters": "all parameters are used",
        "evaluate.trt_engine": "the embedded engine builds no TensorRT engine",
        "inference.trt_engine": "the embedded engine builds no TensorRT engine",
        "export.verify": "every export is compared with the torch model",
    },
)
