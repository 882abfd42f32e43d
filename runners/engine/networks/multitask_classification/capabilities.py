"""What the engine offers for multitask_classification, as plain data. No heavy imports."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from runners.engine.classification import offers, settings
from runners.engine.classification.settings import Positive, Prune, Tf1Model
from runners.engine.core.offer import Offer
from runners.engine.detection.settings import TrainingConfig
from runners.engine.spec import convert
from taod.documents import Document


class Dataset(msgspec.Struct, frozen=True):
    train_csv_path: str | None = None
    image_directory_path: str | None = None
    val_csv_path: str | None = None


class Training(TrainingConfig, frozen=True):
    pruned_model_path: str | None = None


class Spec(Prune, frozen=True, kw_only=True):
    """The whole document, with the options of the command line at its top."""

    random_seed: Annotated[int, Meta(ge=0)] = 42
    model_config: Tf1Model = Tf1Model(n_layers=10, input_image_size="3,80,60")
    dataset_config: Dataset = Dataset()
    training_config: Training = Training()
    gpus: int | None = None
    use_amp: bool = False
    model_path: str | None = None
    model: str | None = None
    output_file: str | None = None
    image_dir: str | None = None
    batch_size: Positive | None = None
    img_root: str | None = None
    target_csv: str | None = None
    """The last two of confmat."""


def check(action: str, document: Document) -> None:
    """Raise SpecError for a model that the engine has not."""
    if action in ("train", "retrain"):
        found = convert(document, Spec)
        settings.shape(found.model_config)


OFFER = Offer(
    spec=Spec,
    actions={**offers.ACTIONS, "confmat": offers.ACTIONS["evaluate"]},
    check=check,
    similar=offers.SIMILAR,
    only=offers.ONLY,
    rejected={"training_config.enable_qat": "the engine has no quantisation-aware training; set it to false"},
    without_effect={
        **offers.TF1_MODEL,
        **{path: reason for path, reason in offers.TF1_EXPORT.items() if path not in offers.TF1_ONLY_EXPORT},
        "class_map": offers.CLASSES,
        "backend": "the engine exports ONNX",
        "model_config.use_imagenet_head": offers.HEAD,
        "training_config.max_queue_size": offers.QUEUES,
        "training_config.use_multiprocessing": offers.QUEUES,
        "training_config.n_workers": offers.QUEUES,
        "training_config.visualizer": offers.TRACKERS,
        "training_config.early_stopping.min_delta": "any better value counts",
        "training_config.early_stopping.monitor": "the loss of the training is monitored",
    },
)
