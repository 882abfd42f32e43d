"""Detectors that predict classes and boxes for fixed anchors: SSD, DSSD, RetinaNet.

Images come normalised as [n, 3, height, width]; boxes are edges in pixels of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from runners.engine.detection import anchors
from runners.engine.detection.backbones import Backbone
from runners.engine.detection.nms import Detector, Target
from runners.engine.detection.torchvision_ops import FeaturePyramidNetwork, sigmoid_focal_loss


class Neck(nn.Module):
    """Levels of features [n, channels, rows, columns] from images; `channels` and `strides` a level."""

    channels: list[int]

    def levels(self, images: torch.Tensor) -> list[torch.Tensor]:
        found: list[torch.Tensor] = self(images)
        return found


def conv(inner: int, outer: int, size: int = 3, stride: int = 1, *, act: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inner, outer, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outer, momentum=0.03, eps=1e-3),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if act else []))


class SsdNeck(Neck):
    """Features of the backbone and of further convolutions, each of half the size."""

    def __init__(self, backbone: Backbone, levels: int, width: int = 256) -> None:
        super().__init__()
        self.backbone = backbone
        self.extra = nn.ModuleList()
        self.channels = list(backbone.channels)
        inner = backbone.channels[-1]
        while len(self.channels) < levels:
            self.extra.append(nn.Sequential(conv(inner, width // 2, 1), conv(width // 2, width, 3, 2)))
            self.channels.append(width)
            inner = width
        self._levels = levels

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        levels: list[torch.Tensor] = self.backbone(images)
        for layer in self.extra:
            levels.append(layer(levels[-1]))
        return levels[: self._levels]


class Deconvolution(nn.Module):
    """DSSD's deconvolution module (Fu et al. 2017, arXiv:1701.06659): a level times the next one."""

    def __init__(self, level: int, following: int, width: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.ConvTranspose2d(following, width, 2, 2, bias=False), conv(width, width, act=False))
        self.side = nn.Sequential(conv(level, width), conv(width, width, act=False))
        # Begins near SSD: a product of two values around 0 passes next to nothing on.
        norm = [*self.up.modules()][-1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.constant_(norm.weight, 0.2)
        nn.init.ones_(norm.bias)

    def forward(self, level: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
        rows, columns = level.shape[-2:]
        found: torch.Tensor = self.side(level) * self.up(following)[..., :rows, :columns]
        return found.relu()


class Prediction(nn.Module):
    """DSSD's prediction module: a residual block of 1x1 convolutions with another one beside it."""

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        half = max(1, width // 2)
        self.block = nn.Sequential(conv(inner, half, 1), conv(half, half, 1), conv(half, width, 1, act=False))
        self.beside = conv(inner, width, 1, act=False)

    def forward(self, level: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.block(level) + self.beside(level)
        return found.relu()


class DssdNeck(Neck):
    """SSD's levels, each but the last with the context of those after it, and a prediction module a level."""

    def __init__(self, backbone: Backbone, levels: int, width: int, predicted: int) -> None:
        super().__init__()
        self.inner = SsdNeck(backbone, levels, width)
        channels = self.inner.channels
        following = [*[width] * (levels - 2), channels[-1]]
        self.deconvolutions = nn.ModuleList(map(Deconvolution, channels[:-1], following, [width] * (levels - 1)))
        self.predictions = nn.ModuleList(Prediction(one, predicted) for one in [width, *following])
        self.channels = [predicted] * levels

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        *before, last = self.inner.levels(images)
        found = [last]
        for level, module in zip(before[::-1], [*self.deconvolutions][::-1], strict=True):
            found.insert(0, module(level, found[0]))
        return [module(level) for level, module in zip(found, self.predictions, strict=True)]


class FpnNeck(Neck):
    """A feature pyramid (Lin et al. 2017) with further levels by strided convolutions, as RetinaNet has it."""

    def __init__(self, backbone: Backbone, levels: int, width: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pyramid = FeaturePyramidNetwork(backbone.channels, width)
        further = levels - len(backbone.channels)
        self.further = nn.ModuleList(
            nn.Conv2d(backbone.channels[-1] if not place else width, width, 3, 2, 1) for place in range(further)
        )
        self.channels = [width] * levels

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        features = self.backbone(images)
        levels = list(self.pyramid({str(place): level for place, level in enumerate(features)}).values())
        last = features[-1]
        for place, layer in enumerate(self.further):
            last = layer(last.relu() if place else last)
            levels.append(last)
        return levels[: len(self.channels)]


class Heads(nn.Module):
    """Class scores and box codes of each anchor: `depth` convolutions, shared by the levels or one set a level."""

    def __init__(self, channels: list[int], shapes: list[int], classes: int, depth: int, *, shared: bool) -> None:
        super().__init__()
        self._classes, self._shared = classes, shared
        levels = [(channels[0], shapes[0])] if shared else list(zip(channels, shapes, strict=True))
        self.scores = nn.ModuleList(_branch(width, count * classes, depth) for width, count in levels)
        self.codes = nn.ModuleList(_branch(width, count * 4, depth) for width, count in levels)

    def forward(self, levels: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        scores, codes = [], []
        for place, level in enumerate(levels):
            branch = 0 if self._shared else place
            scores.append(rows(self.scores[branch](level), self._classes))
            codes.append(rows(self.codes[branch](level), 4))
        return torch.cat(scores, dim=1), torch.cat(codes, dim=1)

    def prior(self, chance: float) -> None:
        """Start with every anchor's classes at that chance, so that the many negatives do not drown the rest."""
        for branch in self.scores:
            last = branch[-1]  # type: ignore[index]
            nn.init.normal_(last.weight, std=0.01)
            nn.init.constant_(last.bias, -math.log((1 - chance) / chance))


def _branch(width: int, out: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(conv(width, width) for _ in range(depth)), nn.Conv2d(width, out, 3, 1, 1))


def rows(level: torch.Tensor, values: int) -> torch.Tensor:
    """[n, anchors * values, rows, columns] → [n, rows * columns * anchors, values]."""
    return level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, values)


class Loss(NamedTuple):
    """How anchors are matched and what their errors cost. `focal` (alpha, gamma) where sigmoids are used, else softmax
    with the background first and `negatives` a positive."""

    positive: float
    negative: float
    box_weight: float = 1.0
    focal: tuple[float, float] | None = None
    negatives: float = 3.0
    beta: float = 1.0
    smoothing: float = 0.0
    """Of the labels of `focal`."""


class AnchorDetector(Detector):
    """A neck, heads and the anchors of one input size."""

    anchors: torch.Tensor

    def __init__(
        self,
        neck: Neck,
        heads: Heads,
        boxes: torch.Tensor,
        variances: Sequence[float],
        loss: Loss,
        *,
        clip: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.neck, self.heads = neck, heads
        self.register_buffer("anchors", boxes, persistent=False)
        self._coder = anchors.coder(variances)
        self._loss, self._clip = loss, clip

    def predict(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores (before softmax or sigmoid) [n, anchors, values] and codes [n, anchors, 4]."""
        scores, codes = self.heads(self.neck.levels(images))
        return scores, codes

    def last(self) -> list[nn.Module]:
        branches = [*self.heads.scores, *self.heads.codes]
        return [branch[-1] for branch in branches if isinstance(branch, nn.Sequential)]

    def losses(self, images: torch.Tensor, targets: Sequence[Target]) -> dict[str, torch.Tensor]:
        """Loss of classes and of boxes, each by the number of matched anchors of the batch."""
        scores, codes = self.predict(images)
        matched = [
            anchors.match(target.boxes, self.anchors, self._loss.positive, self._loss.negative) for target in targets
        ]
        count = max(1, sum(int((found >= 0).sum()) for found in matched))
        classes = torch.stack(
            [
                torch.where(found >= 0, target.labels[found.clamp(min=0)], found) if len(target.labels) else found
                for target, found in zip(targets, matched, strict=True)
            ]
        )
        boxes = codes.new_zeros(())
        for own, target, found in zip(codes, targets, matched, strict=True):
            positive = found >= 0
            wanted = self._coder.encode_single(target.boxes[found[positive]], self.anchors[positive])
            boxes = boxes + nn.functional.smooth_l1_loss(own[positive], wanted, reduction="sum", beta=self._loss.beta)
        kinds = self._focal(scores, classes) if self._loss.focal else self._softmax(scores, classes)
        return {"classes": kinds / count, "boxes": boxes * self._loss.box_weight / count}

    def _focal(self, scores: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        assert self._loss.focal is not None
        alpha, gamma = self._loss.focal
        wanted = nn.functional.one_hot(classes.clamp(min=-1) + 1, scores.shape[2] + 1)[..., 1:].to(scores.dtype)
        wanted = wanted * (1 - self._loss.smoothing) + 0.5 * self._loss.smoothing
        counted = classes != -2
        found: torch.Tensor = sigmoid_focal_loss(
            scores[counted], wanted[counted], alpha=alpha, gamma=gamma, reduction="sum"
        )
        return found

    def _softmax(self, scores: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Cross entropy of the positives and, of each image, of its hardest negatives."""
        each = nn.functional.cross_entropy(
            scores.flatten(0, 1), (classes.clamp(min=-1) + 1).flatten(), reduction="none"
        ).view_as(classes)
        positive = classes >= 0
        hardest = torch.where(classes == -1, each.detach(), -1.0).sort(dim=1, descending=True).indices.argsort(dim=1)
        negative = hardest < (self._loss.negatives * positive.sum(dim=1, keepdim=True)).clamp(min=1)
        return each[positive].sum() + each[negative & (classes == -1)].sum()

    def detect(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The candidates: boxes [n, m, 4] and scores [n, m, classes]."""
        scores, codes = self.predict(images)
        chances = scores.sigmoid() if self._loss.focal else scores.softmax(dim=2)[..., 1:]
        return self._decode(codes), chances

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        boxes = anchors.decode(codes, self.anchors, self._coder)
        if self._clip is not None:
            height, width = self._clip
            boxes = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
        return boxes
