"""Groups of specifications that classifiers share, and the steps of their image pipelines. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.core.tf1 import NotNegative, PrunedByOptions, Share
from runners.engine.errors import SpecError
from taod.documents import Document

Rate = Annotated[float, Meta(gt=0)]

PIPELINE = (
    "RandomResizedCrop",
    "RandomCrop",
    "RandomFlip",
    "RandomGrayscale",
    "RandomRotation",
    "RandomErasing",
    "ColorJitter",
    "Resize",
    "CenterCrop",
    "Pad",
    "Normalize",
)
PIPELINE_SILENT = (
    "LoadImageFromFile",
    "ImageToTensor",
    "ToTensor",
    "Collect",
    "PackClsInputs",
    "PackInputs",
    "DefaultFormatBundle",
)
"""Entries that say what the loader does anyway."""


class Split(msgspec.Struct, frozen=True):
    """One of train, val, test: a folder of class folders (test: of images), and the file that lists the classes."""

    data_prefix: str | None = None
    classes: str | list[str] | None = None
    pipeline: list[Document] | None = None


BACKBONES: dict[str, str] = {
    "resnet_10": "resnet18",
    **{f"resnet_{layers}": f"resnet{layers}" for layers in (18, 34, 50, 101)},
    "vgg_16": "vgg16_bn",
    "vgg_19": "vgg19_bn",
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    **{f"efficientnet_b{size}": f"tf_efficientnet_b{size}" for size in range(7)},
    "darknet_53": "darknet53",
    "cspdarknet_53": "cspdarknet53",
    "cspdarknet_tiny": "cs3darknet_s",
    "squeezenet": "squeezenet1_1",
    "googlenet": "googlenet",
    "alexnet": "alexnet",
}
"""TAO's names, with the number of layers where they have one → those of timm; the last three of torchvision."""
COLOURED = ("squeezenet", "googlenet", "alexnet")
"""They take images of three channels only."""


def backbone(arch: str, layers: int | None, fields: str) -> str:
    """The name in `BACKBONES`. Raises SpecError naming the fields."""
    name = arch.replace("-", "_")
    found = next((one for one in (name, f"{name}_{layers}") if one in BACKBONES), None)
    if found is None:
        raise SpecError(f"{fields}: '{arch}' with {layers} layers is not in the engine; it has {', '.join(BACKBONES)}.")
    return found


class Norms(msgspec.Struct, frozen=True):
    """`momentum` is the share that the statistics keep."""

    momentum: Annotated[float, Meta(gt=0, lt=1)] = 0.9
    epsilon: Annotated[float, Meta(gt=0)] = 1e-5


class Tf1Model(msgspec.Struct, frozen=True):
    """`model_config` of classification_tf1 and multitask_classification."""

    arch: str = "resnet"
    n_layers: int = 18
    input_image_size: str = "3,224,224"
    resize_interpolation_method: Literal["", "BILINEAR", "BICUBIC"] = "BILINEAR"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    freeze_bn: bool = False
    freeze_blocks: list[float] = []
    batch_norm_config: Norms = Norms()

    def size(self) -> tuple[int, int, int]:
        """(channels, height, width). Raises SpecError."""
        parts = self.input_image_size.split(",")
        sizes = [int(part) for part in parts if part.strip().isdigit()]
        if len(parts) != 3 or len(sizes) != 3 or sizes[0] not in (1, 3) or min(sizes[1:]) < 32:
            raise SpecError(
                f"model_config.input_image_size '{self.input_image_size}' must be channels (1 or 3), height and width "
                "(at least 32), such as 3,224,224."
            )
        return sizes[0], sizes[1], sizes[2]


class Shape(msgspec.Struct, frozen=True):
    """Of a model: its backbone, input and what is frozen."""

    backbone: str
    channels: int
    height: int
    width: int
    dropout: float
    freeze_blocks: list[int]
    freeze_bn: bool
    norms: Norms


def shape(given: Tf1Model) -> Shape:
    """Raises SpecError naming the field."""
    return checked(
        Shape(
            backbone(given.arch, given.n_layers, "model_config.arch, n_layers"),
            *given.size(),
            given.dropout,
            [int(block) for block in given.freeze_blocks],
            given.freeze_bn,
            given.batch_norm_config,
        ),
        "model_config.input_image_size",
    )


def checked(found: Shape, field: str) -> Shape:
    if found.channels == 1 and found.backbone in COLOURED:
        raise SpecError(f"{field} has one channel; {found.backbone} takes images of three.")
    return found


class Tf1Spec(PrunedByOptions, frozen=True, kw_only=True):
    """What the documents of classification_tf1 and multitask_classification have in common."""

    model_config: Tf1Model = Tf1Model()


class Step(msgspec.Struct, frozen=True):
    """`step_size` in percent of the training."""

    learning_rate: Rate = 0.006
    step_size: Annotated[float, Meta(gt=0)] = 10
    gamma: Rate = 0.1


class SoftStart(msgspec.Struct, frozen=True):
    learning_rate: Rate = 0.05
    soft_start: Share = 0.056
    annealing_divider: Rate = 10
    annealing_points: tuple[Share, ...] = ()


class Cosine(msgspec.Struct, frozen=True):
    learning_rate: Rate = 0.05
    soft_start: Share = 0.0
    min_lr_ratio: Share = 0.001


class LrConfig(msgspec.Struct, frozen=True):
    step: Step | None = None
    soft_anneal: SoftStart | None = None
    cosine: Cosine | None = None


class Sgd(msgspec.Struct, frozen=True):
    lr: Rate = 0.01
    decay: NotNegative = 0.0
    momentum: Share = 0.9
    nesterov: bool = False


class Adam(msgspec.Struct, frozen=True):
    lr: Rate = 0.001
    decay: NotNegative = 0.0
    beta_1: Share = 0.9
    beta_2: Share = 0.999
    epsilon: Rate = 1e-7


class RmsProp(msgspec.Struct, frozen=True):
    lr: Rate = 0.001
    decay: NotNegative = 0.0
    rho: Share = 0.9
    epsilon: Rate = 1e-7


class Optimizer(msgspec.Struct, frozen=True):
    """At most one; SGD with the defaults where there is none."""

    sgd: Sgd | None = None
    adam: Adam | None = None
    rmsprop: RmsProp | None = None

    @property
    def chosen(self) -> Sgd | Adam | RmsProp:
        return self.adam or self.rmsprop or self.sgd or Sgd()


class Augment(msgspec.Struct, frozen=True):
    """What is done to images of a training."""

    crop: bool = False
    centre: bool = False
    """Validation images are cut out of the middle; else they are stretched."""
    colours: bool = False
    flip: bool = False
    mixup: float = 0.0
    method: str = "bilinear"


def training_steps(how: Augment, height: int, width: int) -> list[Document]:
    """The pipeline of a training."""
    steps: list[Document] = _fitted("RandomCrop", "size", height, width, how.method, cut=how.crop)
    if how.flip:
        steps.append({"type": "RandomFlip", "flip_prob": 0.5})
    if how.colours:
        steps.append({"type": "ColorJitter", "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05})
    return steps


def evaluation_steps(height: int, width: int, method: str, *, centre: bool) -> list[Document]:
    """The pipeline of what is evaluated."""
    return _fitted("CenterCrop", "crop_size", height, width, method, cut=centre)


def _fitted(kind: str, option: str, height: int, width: int, method: str, *, cut: bool) -> list[Document]:
    """Stretched to the size; with `cut` an eighth larger, by the shorter side where it is a square, and cut."""
    resize: Document = {"type": "Resize", "interpolation": method}
    if not cut:
        return [{**resize, "size": [height, width]}]
    down, across = round(height * 8 / 7), round(width * 8 / 7)
    return [{**resize, "size": down if height == width else [down, across]}, {"type": kind, option: [height, width]}]


def penalised(scope: Iterable[str]) -> tuple[int, ...]:
    """Dimensions of the kernels that the names of Keras' layers stand for."""
    names = {name.strip().lower() for name in scope}
    return tuple(number for name, number in (("conv2d", 4), ("dense", 2)) if name in names)


_MEANS = {"r": 123.68, "g": 116.779, "b": 103.939}


def normalisation(mode: str, channels: int, mean: dict[str, float]) -> tuple[list[float], list[float], bool]:
    """Mean and standard deviation a channel on the 0-255 scale, and whether blue comes first; `caffe` alone reads
    `mean`, whose keys are r, g and b, or l for grey."""
    if mode == "tf":
        return [127.5] * channels, [127.5] * channels, False
    if mode == "torch":
        return (
            ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], False) if channels == 3 else ([127.5], [58.0], False)
        )
    given = {**_MEANS, **mean}
    if channels == 1:
        return [given.get("l", 117.3786)], [1.0], False
    return [given[key] for key in "bgr"], [1.0] * 3, True
