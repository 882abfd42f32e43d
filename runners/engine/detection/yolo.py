"""The YOLO head: boxes relative to grid cells and anchor shapes, an objectness and class scores for each.

YOLOv3 (Redmon and Farhadi 2018, arXiv:1804.02767), YOLOv4 (Bochkovskiy et al. 2020, arXiv:2004.10934).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from runners.engine.detection.backbones import Backbone
from runners.engine.detection.nms import Detector, Target
from runners.engine.detection.torchvision_ops import box_iou, complete_box_iou_loss

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "mish": nn.Mish}


class YoloLoss(NamedTuple):
    """Weights of the parts; `neutral`: predictions that overlap an object more are no negatives; `matching`: anchors
    that fit an object more than this are positives beside the best one (1: the best one alone)."""

    boxes: float
    negatives: float
    classes: float
    neutral: float
    matching: float
    smoothing: float = 0.0


class YoloNeck(nn.Module):
    """Features from the coarsest level down to the finest, and with `back` up again (PANet)."""

    def __init__(self, backbone: Backbone, depth: int, activation: str, *, back: bool) -> None:
        super().__init__()
        self.backbone = backbone
        widths = [min(256, max(64, channels // 2)) for channels in backbone.channels]
        act = ACTIVATIONS[activation]
        self.lateral = nn.ModuleList(
            _conv(channels, width, 1, act=act) for channels, width in zip(backbone.channels, widths, strict=True)
        )
        self.down = nn.ModuleList(
            nn.Sequential(
                _conv(widths[place] + widths[place + 1], widths[place], 3, act=act), *_more(widths[place], depth, act)
            )
            for place in range(len(widths) - 1)
        )
        self.back = nn.ModuleList()
        self.up = nn.ModuleList()
        if back:
            for place in range(len(widths) - 1):
                self.back.append(_conv(widths[place], widths[place + 1], 3, 2, act=act))
                self.up.append(_conv(2 * widths[place + 1], widths[place + 1], 3, act=act))
        self.channels = widths

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        levels: list[torch.Tensor] = [
            layer(level) for layer, level in zip(self.lateral, self.backbone(images), strict=True)
        ]
        for place in range(len(levels) - 2, -1, -1):
            size = levels[place].shape[-2:]
            above = nn.functional.interpolate(levels[place + 1], size=size, mode="nearest")
            levels[place] = self.down[place](torch.cat([levels[place], above], dim=1))
        for place, (step, join) in enumerate(zip(self.back, self.up, strict=True)):
            size = levels[place + 1].shape[-2:]
            below = step(levels[place])[:, :, : size[0], : size[1]]
            levels[place + 1] = join(torch.cat([levels[place + 1], below], dim=1))
        return levels


def _conv(inner: int, outer: int, size: int, stride: int = 1, *, act: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outer, momentum=0.03, eps=1e-3),
        act(),
    )


def _more(width: int, depth: int, act: type[nn.Module]) -> list[nn.Module]:
    return [_conv(width, width, 3, act=act) for _ in range(max(0, depth - 1))]


class Yolo(Detector):
    """`shapes`: (width, height) of anchors in pixels, three a level, finest level first; `extend`: how far beyond its
    cell a centre may lie, a level."""

    cells: torch.Tensor
    sizes: torch.Tensor
    strides: torch.Tensor
    extend: torch.Tensor

    def __init__(
        self,
        neck: YoloNeck,
        classes: int,
        shapes: Sequence[Sequence[tuple[float, float]]],
        extend: Sequence[float],
        grids: Sequence[tuple[int, int]],
        strides: Sequence[int],
        loss: YoloLoss,
    ) -> None:
        super().__init__()
        self.neck, self._classes, self._loss = neck, classes, loss
        self._counts = [len(level) for level in shapes]
        self.heads = nn.ModuleList(
            nn.Conv2d(width, count * (5 + classes), 1) for width, count in zip(neck.channels, self._counts, strict=True)
        )
        for head in self.heads:
            assert isinstance(head, nn.Conv2d) and head.bias is not None
            nn.init.normal_(head.weight, std=0.01)
            with torch.no_grad():
                head.bias.view(-1, 5 + classes)[:, 4] = -3.0
        cells, sizes, steps, further = [], [], [], []
        for (rows, columns), level, stride, share in zip(grids, shapes, strides, extend, strict=True):
            y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            place = torch.stack([x, y], dim=-1).reshape(-1, 1, 2).expand(-1, len(level), 2)
            cells.append(place.reshape(-1, 2).float())
            sizes.append(torch.tensor(level, dtype=torch.float32).repeat(rows * columns, 1))
            steps.append(torch.full((rows * columns * len(level), 1), float(stride)))
            further.append(torch.full((rows * columns * len(level), 1), share))
        for name, parts in (("cells", cells), ("sizes", sizes), ("strides", steps), ("extend", further)):
            self.register_buffer(name, torch.cat(parts), persistent=False)

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        """[n, anchors, 5 + classes] before any sigmoid."""
        values = 5 + self._classes
        levels: list[torch.Tensor] = self.neck(images)
        return torch.cat(
            [
                head(level).permute(0, 2, 3, 1).reshape(level.shape[0], -1, values)
                for head, level in zip(self.heads, levels, strict=True)
            ],
            dim=1,
        )

    def last(self) -> list[nn.Module]:
        return list(self.heads)

    def boxes(self, found: torch.Tensor) -> torch.Tensor:
        """Predictions as edges in pixels."""
        centre = (found[..., :2].sigmoid() * (1 + self.extend) - self.extend / 2 + self.cells) * self.strides
        half = found[..., 2:4].clamp(max=6.0).exp() * self.sizes / 2
        return torch.cat([centre - half, centre + half], dim=-1)

    def detect(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.predict(images)
        return self.boxes(found), found[..., 4:5].sigmoid() * found[..., 5:].sigmoid()

    def losses(self, images: torch.Tensor, targets: Sequence[Target]) -> dict[str, torch.Tensor]:
        """Complete IoU loss of boxes, cross entropies of objectness and classes, by the number of positives."""
        found = self.predict(images)
        boxes = self.boxes(found)
        own = [self._match(target) for target in targets]
        count = max(1, sum(len(places) for places, _ in own))
        near, objects, kinds = (found.new_zeros(()) for _ in range(3))
        for row, (target, (places, objects_of)) in enumerate(zip(targets, own, strict=True)):
            counted = torch.ones(len(boxes[row]), dtype=torch.bool, device=found.device)
            if len(target.boxes):
                counted = box_iou(boxes[row].detach(), target.boxes).amax(dim=1) < self._loss.neutral
            wanted = torch.zeros(len(boxes[row]), device=found.device)
            wanted[places] = 1.0
            weight = torch.where(wanted > 0, 1.0, counted * self._loss.negatives)
            objects = objects + nn.functional.binary_cross_entropy_with_logits(
                found[row, :, 4], wanted, weight, reduction="sum"
            )
            if len(places):
                near = near + complete_box_iou_loss(boxes[row, places], target.boxes[objects_of], reduction="sum")
                labels = nn.functional.one_hot(target.labels[objects_of], self._classes).to(found.dtype)
                labels = labels * (1 - self._loss.smoothing) + self._loss.smoothing / max(2, self._classes)
                kinds = kinds + nn.functional.binary_cross_entropy_with_logits(
                    found[row, places, 5:], labels, reduction="sum"
                )
        return {
            "boxes": near * self._loss.boxes / count,
            "objects": objects / count,
            "classes": kinds * self._loss.classes / count,
        }

    def _match(self, target: Target) -> tuple[torch.Tensor, torch.Tensor]:
        """Positive anchors and the object of each: in the cell of its centre, by the overlap of shapes alone."""
        empty = torch.zeros(0, dtype=torch.long, device=self.cells.device)
        if not len(target.boxes):
            return empty, empty
        sides = target.boxes[:, 2:] - target.boxes[:, :2]
        centre = (target.boxes[:, :2] + target.boxes[:, 2:]) / 2
        inside = ((centre[:, None] / self.strides).floor() == self.cells).all(dim=2)
        inner = torch.minimum(sides[:, None], self.sizes).prod(dim=2)
        overlap = inner / (sides.prod(dim=1)[:, None] + self.sizes.prod(dim=1) - inner)
        overlap = torch.where(inside, overlap, -1.0)
        positive = overlap > self._loss.matching
        positive[torch.arange(len(sides)), overlap.argmax(dim=1)] = True
        # An anchor that two objects want is the one's that it fits better.
        best, who = torch.where(positive, overlap, -2.0).max(dim=0)
        places = (best > -2).nonzero()[:, 0]
        return places, who[places]
