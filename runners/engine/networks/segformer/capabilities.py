"""What the engine offers for segformer, as plain data: its specification, and what has no effect. No heavy imports."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.core.offer import EXPORT, TRAINING, Offer
from runners.engine.errors import SpecError
from runners.engine.spec import convert
from taod.documents import Document

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Colour = tuple[int, int, int]
BACKBONES = tuple(f"mit_b{size}" for size in range(6))


class ImageNorm(msgspec.Struct, frozen=True):
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    to_rgb: bool = True


class RandomCrop(msgspec.Struct, frozen=True):
    cat_max_ratio: Annotated[float, Meta(gt=0, le=1)] = 1.0


class Resize(msgspec.Struct, frozen=True):
    img_scale: tuple[Positive, Positive] | None = None
    ratio_range: tuple[float, float] = (1.0, 1.0)


class RandomFlip(msgspec.Struct, frozen=True):
    prob: Share = 0.0


class Augmentation(msgspec.Struct, frozen=True):
    random_crop: RandomCrop = RandomCrop()
    resize: Resize = Resize()
    random_flip: RandomFlip = RandomFlip()


class PadConfig(msgspec.Struct, frozen=True):
    pad_val: Annotated[int, Meta(ge=0, le=255)] = 0
    seg_pad_val: Annotated[int, Meta(ge=0, le=255)] = 255


class Pipeline(msgspec.Struct, frozen=True):
    augmentation_config: Augmentation = Augmentation()
    Pad: PadConfig = PadConfig()


class Split(msgspec.Struct, frozen=True):
    img_dir: str | list[str] | None = None
    ann_dir: str | list[str] | None = None


class TrainSplit(Split, frozen=True):
    pipeline: Pipeline = Pipeline()


class PaletteEntry(msgspec.Struct, frozen=True):
    seg_class: str
    label_id: Annotated[int, Meta(ge=0, le=255)]
    mapping_class: str = ""
    rgb: Colour | None = None


class Dataset(msgspec.Struct, frozen=True):
    input_type: Literal["grayscale", "rgb"] = "rgb"
    batch_size: int = 4
    workers_per_gpu: Annotated[int, Meta(ge=0)] | None = None
    img_norm_cfg: ImageNorm = ImageNorm()
    train_dataset: TrainSplit = TrainSplit()
    val_dataset: Split = Split()
    test_dataset: Split = Split()
    palette: list[PaletteEntry] = []


class Backbone(msgspec.Struct, frozen=True):
    type: str = "mit_b0"


class Model(msgspec.Struct, frozen=True):
    input_height: Positive = 512
    input_width: Positive = 512
    pretrained_model_path: str | None = None
    backbone: Backbone = Backbone()


class Optimiser(msgspec.Struct, frozen=True):
    lr: Annotated[float, Meta(gt=0)] = 6e-5
    weight_decay: Annotated[float, Meta(ge=0)] = 0.01
    betas: tuple[float, float] = (0.9, 0.999)


class Trainer(msgspec.Struct, frozen=True):
    sf_optim: Optimiser = Optimiser()


class LrConfig(msgspec.Struct, frozen=True):
    power: Annotated[float, Meta(gt=0)] = 1.0
    min_lr: Annotated[float, Meta(ge=0)] = 0.0


class Seeded(msgspec.Struct, frozen=True):
    manual_seed: Annotated[int, Meta(ge=0)] = 49


class Train(msgspec.Struct, frozen=True):
    num_gpus: int = 1
    checkpoint_interval: Positive = 50
    validate: bool = True
    validation_interval: Positive = 50
    logging_interval: Positive = 50
    max_iters: Positive = 1000
    resume_training_checkpoint_path: str | None = None
    lr_config: LrConfig = LrConfig()
    trainer: Trainer = Trainer()
    exp_config: Seeded = Seeded()


class Reads(msgspec.Struct, frozen=True):
    checkpoint: str | None = None


class Export(msgspec.Struct, frozen=True):
    checkpoint: str | None = None
    onnx_file: str | None = None
    input_height: Positive = 512
    input_width: Positive = 512
    input_channel: Literal[3] = 3


class Spec(msgspec.Struct, frozen=True):
    dataset: Dataset = Dataset()
    model: Model = Model()
    train: Train = Train()
    evaluate: Reads = Reads()
    inference: Reads = Reads()
    export: Export = Export()


def _check(action: str, document: Document) -> None:
    """Other actions read the backbone from the checkpoint."""
    backbone = convert(document, Spec).model.backbone.type
    if action == "train" and backbone not in BACKBONES:
        raise SpecError(f"model.backbone.type {backbone!r} is not in the engine; it has {', '.join(BACKBONES)}.")


_TRT = "the embedded engine builds no TensorRT engine"
OFFER = Offer(
    spec=Spec,
    actions={
        "train": (*TRAINING, "transformers"),
        "evaluate": (*TRAINING, "transformers", "onnxruntime"),
        "inference": (*TRAINING, "transformers", "onnxruntime"),
        "export": (*EXPORT, "transformers"),
    },
    without_effect={
        "dataset.repeat_data_times": "iterations are counted, so the data are repeated as often as needed",
        "dataset.data_root": "the folders are named in full",
        "dataset.test_dataset.pipeline": "images are stretched to the model's size",
        "model.pretrained": "an export reads its checkpoint alone",
        "train.trainer.find_unused_parameters": "all parameters are used",
        "train.exp_config.distributed": "train.num_gpus decides",
        "evaluate.exp_config": "nothing is random in an evaluation",
        "inference.exp_config": "nothing is random in an inference",
        "evaluate.trt_engine": _TRT,
        "inference.trt_engine": _TRT,
        "gen_trt_engine": _TRT,
    },
    check=_check,
)
