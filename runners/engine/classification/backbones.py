"""Backbones of classifiers under TAO's names, through timm and torchvision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from runners.engine.classification.settings import BACKBONES
from runners.engine.core import vision
from runners.engine.core.optimise import freeze_norms
from runners.engine.errors import SpecError

_TORCHVISION = ("squeezenet", "googlenet", "alexnet")
_CONVOLUTIONAL = (*_TORCHVISION, "vgg")
"""Features come from the convolutions alone; what the papers put after them depends on the input's size."""


class Classifier(nn.Module):
    """Normalised images [n, channels, height, width] to logits [n, classes]; the mean of the last features, a dropout
    and one linear layer."""

    def __init__(self, name: str, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.body = _body(name, channels)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(_width(self.body, name), classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.body(images)
        if features.ndim == 4:
            features = features.mean(dim=(2, 3))
        found: torch.Tensor = self.head(self.dropout(features))
        return found

    def blocks(self) -> list[list[nn.Module]]:
        """Modules by block as `freeze_blocks` counts them: 0 is the stem, 1 the first stage …"""
        found: list[list[nn.Module]] = [[]]
        for name, module in self.body.named_children():
            if name in ("blocks", "stages"):
                found += [[stage] for stage in module.children()]
            elif name.startswith(("layer", "inception")):
                found.append([module])
            elif isinstance(self.body, nn.Sequential):
                if isinstance(module, nn.MaxPool2d):
                    found.append([])
                found[-1].append(module)
            else:
                found[0].append(module)
        return [block for block in found if any(True for part in block for _ in part.parameters())]

    def freeze(self, blocks: Sequence[int], *, norms: bool) -> None:
        there = self.blocks()
        for number in blocks:
            if not 0 <= number < len(there):
                raise SpecError(f"freeze_blocks names block {number}; this backbone has 0 to {len(there) - 1}.")
            for module in there[number]:
                module.requires_grad_(False)
        if norms:
            freeze_norms(self)

    def set_norms(self, momentum: float, epsilon: float) -> None:
        """`momentum` as Keras counts it: the share that the statistics keep of themselves."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum, module.eps = 1 - momentum, epsilon


def _body(name: str, channels: int) -> nn.Module:
    """Images to features, pooled or not."""
    vision.define()
    model = BACKBONES[name]
    if name in _TORCHVISION:
        import torchvision

        options: dict[str, object] = {"aux_logits": False, "init_weights": True} if name == "googlenet" else {}
        if name == "googlenet":
            options["transform_input"] = False
        found: nn.Module = getattr(torchvision.models, model)(weights=None, **options)
        if name != "googlenet":
            features = found.get_submodule("features")
            assert isinstance(features, nn.Sequential)
            return features
        setattr(found, "fc", nn.Identity())  # noqa: B010  torchvision is untyped
        return found
    import timm

    further: dict[str, object] = {"layers": (1, 1, 1, 1)} if name == "resnet_10" else {}
    body: nn.Module = timm.create_model(model, num_classes=0, in_chans=channels, **further)
    if name.startswith("vgg"):
        features = body.get_submodule("features")
        assert isinstance(features, nn.Sequential)
        return features
    return body


def _width(body: nn.Module, name: str) -> int:
    if name.startswith(_CONVOLUTIONAL) and name != "googlenet":
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            given = next(part for part in body.modules() if isinstance(part, nn.Conv2d)).in_channels
            before = body.training
            width = int(body.eval()(torch.zeros(1, given, 64, 64)).shape[1])
            body.train(before)
            return width
    return 1024 if name == "googlenet" else int(getattr(body, "head_hidden_size"))  # noqa: B009  timm is untyped
