"""EfficientDet (Tan et al. 2020, arXiv:1911.09070) from the paper: BiFPN and heads on timm's EfficientNets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import torch
from torch import nn

from runners.engine.detection import anchors, backbones, dense
from runners.engine.detection.backbones import Backbone
from runners.engine.detection.dense import Neck

STRIDES = (8, 16, 32, 64, 128)
SIZES = {
    "efficientdet-d0": ("tf_efficientnet_b0", 64, 3, 3),
    "efficientdet-d1": ("tf_efficientnet_b1", 88, 4, 3),
    "efficientdet-d2": ("tf_efficientnet_b2", 112, 5, 3),
    "efficientdet-d3": ("tf_efficientnet_b3", 160, 6, 4),
    "efficientdet-d4": ("tf_efficientnet_b4", 224, 7, 4),
    "efficientdet-d5": ("tf_efficientnet_b5", 288, 7, 4),
}
"""Backbone, channels, layers of the BiFPN and of the heads (table 1)."""
FOCAL = (0.25, 1.5)
DELTA = 0.1
"""Where the Huber loss of box codes turns linear."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A detector's shape and its loss, as its frame keeps it."""

    backbone: str
    """Its name in `SIZES`."""
    classes: int
    scale: float
    """Of the smallest anchor, in strides."""
    scales: int
    ratios: list[list[float]]
    """Factors across and down."""
    freeze_blocks: list[int] = []
    freeze_bn: bool = False
    box_weight: float = 50.0
    smoothing: float = 0.0


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)


class Separable(nn.Sequential):
    """A 3 x 3 convolution of each channel and a 1 x 1 one of all."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__(nn.Conv2d(inner, inner, 3, 1, 1, groups=inner, bias=False), nn.Conv2d(inner, outer, 1))


class Fusion(nn.Module):
    """The fast normalised fusion of features of one size (equation 3.3), and a convolution."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(count))
        self.layers = nn.Sequential(nn.SiLU(), Separable(width, width), _norm(width))

    def forward(self, parts: list[torch.Tensor]) -> torch.Tensor:
        weights = self.weights.relu()
        weights = weights / (weights.sum() + 1e-4)
        found: torch.Tensor = self.layers(torch.stack([part * weights[at] for at, part in enumerate(parts)]).sum(dim=0))
        return found


class BiFpn(nn.Module):
    """One layer: from the coarsest level down to the finest, and up again (figure 2d)."""

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(Fusion(width, 2) for _ in range(levels - 1))
        self.up = nn.ModuleList(Fusion(width, 2 if level == levels - 1 else 3) for level in range(1, levels))

    def forward(self, levels: list[torch.Tensor]) -> list[torch.Tensor]:
        inner = [levels[-1]]
        for level, fusion in zip(levels[-2::-1], self.down, strict=True):
            inner.insert(0, fusion([level, nn.functional.interpolate(inner[0], scale_factor=2.0)]))
        found = [inner[0]]
        for place, fusion in enumerate(self.up, 1):
            coarser = nn.functional.max_pool2d(found[-1], 3, 2, 1)
            own = [levels[place]] if place == len(levels) - 1 else [levels[place], inner[place]]
            found.append(fusion([*own, coarser]))
        return found


class BiFpnNeck(Neck):
    """Levels of `STRIDES` from the features of the backbone."""

    def __init__(self, backbone: Backbone, width: int, depth: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inner, width, 1), _norm(width))
            for inner in [*backbone.channels, backbone.channels[-1]]
        )
        self.layers = nn.Sequential(*(BiFpn(width, len(STRIDES)) for _ in range(depth)))
        self.channels = [width] * len(STRIDES)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        features = self.backbone(images)
        levels = [layer(part) for layer, part in zip(self.lateral, [*features, features[-1]], strict=True)]
        levels[-1] = nn.functional.max_pool2d(levels[-1], 3, 2, 1)
        levels.append(nn.functional.max_pool2d(levels[-1], 3, 2, 1))
        found: list[torch.Tensor] = self.layers(levels)
        return found


class Branch(nn.Module):
    """Convolutions that the levels share, each level with its own norms."""

    def __init__(self, width: int, out: int, depth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Separable(width, width) for _ in range(depth))
        self.norms = nn.ModuleList(_norm(width) for _ in range(depth * len(STRIDES)))
        self.last = Separable(width, out)

    def forward(self, levels: list[torch.Tensor]) -> list[torch.Tensor]:
        found = []
        for number, level in enumerate(levels):
            for place, conv in enumerate(self.convs):
                level = nn.functional.silu(self.norms[number * len(self.convs) + place](conv(level)))
            found.append(self.last(level))
        return found


class EfficientHeads(dense.Heads):
    """Class scores and box codes of each anchor."""

    def __init__(self, width: int, count: int, classes: int, depth: int) -> None:
        nn.Module.__init__(self)
        self._classes = classes
        self.kinds, self.boxes = Branch(width, count * classes, depth), Branch(width, count * 4, depth)
        last = self.kinds.last[-1]
        assert isinstance(last.bias, nn.Parameter)
        nn.init.constant_(last.bias, -math.log(99))

    def forward(self, levels: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        scores = [dense.rows(level, self._classes) for level in self.kinds(levels)]
        codes = [dense.rows(level, 4) for level in self.boxes(levels)]
        return torch.cat(scores, dim=1), torch.cat(codes, dim=1)


def build(shape: Shape, height: int, width: int) -> dense.AnchorDetector:
    """The model, for inputs of that size: multiples of the last of `STRIDES`."""
    name, channels, layers, depth = SIZES[shape.backbone]
    backbone = Backbone(name, STRIDES[:3])
    placed = [
        anchors.grid(
            height // stride,
            width // stride,
            anchors.scaled(stride, shape.scale, shape.scales, shape.ratios),
            (stride, stride),
        )
        for stride in STRIDES
    ]
    heads = EfficientHeads(channels, shape.scales * len(shape.ratios), shape.classes, depth)
    # The paper's Huber loss is a mean over the four codes, and `DELTA` times the smooth L1 loss.
    loss = dense.Loss(0.5, 0.5, shape.box_weight * DELTA / 4, FOCAL, beta=DELTA, smoothing=shape.smoothing)
    found = dense.AnchorDetector(
        BiFpnNeck(backbone, channels, layers), heads, torch.cat(placed), [1.0] * 4, loss, clip=(height, width)
    )
    backbones.freeze(backbone, shape.freeze_blocks, norms=shape.freeze_bn)
    return found


def ratios_of(given: Sequence[Sequence[float]] | None) -> list[list[float]] | None:
    """Pairs of positive factors; None for anything else."""
    found = [list(pair) for pair in given or []]
    return found if found and all(len(pair) == 2 and min(pair) > 0 for pair in found) else None
