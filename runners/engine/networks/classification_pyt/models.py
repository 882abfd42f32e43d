"""Builds the torch model of an architecture from transformers' configs, with random weights; nothing is downloaded."""

from __future__ import annotations

from typing import Any

import msgspec
import torch
from torch import nn

from runners.engine.backbones.fan import Fan
from runners.engine.backbones.shapes import FAN
from runners.engine.core import vision
from runners.engine.core.vision import without_torchvision
from runners.engine.networks.classification_pyt import backbones
from taod.documents import Document


class Architecture(msgspec.Struct, frozen=True):
    """All that the model's shape depends on; kept in every checkpoint."""

    backbone: str
    options: dict[str, Any]
    """As resolved: family, widths, depths, stem."""
    classes: int
    height: int
    width: int


class Classifier(nn.Module):
    """Normalised images float32 [n, 3, height, width] to logits [n, classes]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(pixel_values=pixels).logits
        return logits


def plan(backbone: str, custom: dict[str, Any], classes: int, size: tuple[int, int]) -> tuple[Architecture, list[str]]:
    """The architecture for images of `size` (height, width), and notes for the log. Raises SpecError."""
    options, notes = backbones.resolve(backbone, custom, size)
    return Architecture(backbone, options, classes, *size), notes


def build(architecture: Architecture) -> nn.Module:
    """The model, its weights drawn from torch's random state."""
    options = {key: value for key, value in architecture.options.items() if key != "family"}
    family = architecture.options["family"]
    if family == "fan":
        return _Headed(Fan(FAN[architecture.backbone], options.get("drop_path_rate", 0.0)), architecture.classes)
    if family in ("timm", "vgg"):
        return _timm(architecture, options)
    without_torchvision()
    make = {"resnet": _resnet, "convnext": _convnext, "vit": _vit}[family]
    return Classifier(make(architecture, options))


class _Headed(nn.Module):
    """A FAN with one linear layer on the features of its class token."""

    def __init__(self, body: Fan, classes: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(body.width, classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.body(pixels))
        return found


def _timm(architecture: Architecture, options: Document) -> nn.Module:
    vision.define()  # timm imports torchvision
    import timm

    name = options.pop("model")
    if name.startswith(("swin", "gcvit")):
        options["img_size"] = (architecture.height, architecture.width)
    found: nn.Module = timm.create_model(name, num_classes=architecture.classes, **options)
    return found


def _resnet(architecture: Architecture, options: dict[str, Any]) -> nn.Module:
    from transformers.models.resnet.configuration_resnet import ResNetConfig
    from transformers.models.resnet.modeling_resnet import ResNetConvLayer, ResNetForImageClassification

    stride = options.pop("stem_stride")
    config = ResNetConfig(**options, num_labels=architecture.classes)  # type: ignore[call-arg]
    model = ResNetForImageClassification(config)
    if stride < 4:
        stem = model.resnet.embedder
        stem.embedder = ResNetConvLayer(3, config.embedding_size, kernel_size=3, stride=stride)
        stem.embedder.apply(model._init_weights)
        stem.pooler = nn.Identity()  # type: ignore[assignment]
    return model


def _convnext(architecture: Architecture, options: dict[str, Any]) -> nn.Module:
    from transformers.models.convnext.configuration_convnext import ConvNextConfig
    from transformers.models.convnext.modeling_convnext import ConvNextForImageClassification

    stages = len(options["hidden_sizes"])
    config = ConvNextConfig(**options, num_labels=architecture.classes, num_stages=stages)  # type: ignore[call-arg]
    return ConvNextForImageClassification(config)


def _vit(architecture: Architecture, options: dict[str, Any]) -> nn.Module:
    from transformers.models.vit.configuration_vit import ViTConfig
    from transformers.models.vit.modeling_vit import ViTForImageClassification

    options.setdefault("intermediate_size", 4 * options["hidden_size"])
    size = (architecture.height, architecture.width)
    config = ViTConfig(**options, num_labels=architecture.classes, image_size=size)  # type: ignore[call-arg]
    return ViTForImageClassification(config)
