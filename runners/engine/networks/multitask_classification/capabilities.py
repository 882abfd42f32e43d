"""What the engine offers for multitask_classification, as plain data. No heavy imports."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from runners.engine.classification import offers
from runners.engine.classification.settings import Tf1Model, Tf1Spec
from runners.engine.core.offer import QAT
from runners.engine.core.tf1 import TRAINING_CONFIG, TrainingConfig


class Dataset(msgspec.Struct, frozen=True):
    train_csv_path: str | None = None
    image_directory_path: str | None = None
    val_csv_path: str | None = None


class Spec(Tf1Spec, frozen=True, kw_only=True):
    """The whole document."""

    random_seed: Annotated[int, Meta(ge=0)] = 42
    model_config: Tf1Model = Tf1Model(n_layers=10, input_image_size="3,80,60")
    dataset_config: Dataset = Dataset()
    training_config: TrainingConfig = TrainingConfig()
    img_root: str | None = None
    target_csv: str | None = None
    """The last two of confmat."""


OFFER = offers.tf1(
    Spec,
    actions={**offers.ACTIONS, "confmat": offers.ACTIONS["evaluate"]},
    rejected={"training_config.enable_qat": QAT},
    without_effect={
        **TRAINING_CONFIG,
        "class_map": offers.CLASSES,
        "backend": "the engine exports ONNX",
        "model_config.use_imagenet_head": offers.HEAD,
    },
)
