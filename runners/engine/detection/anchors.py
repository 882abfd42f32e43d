"""Anchors of SSD's family on grids of a fixed input size, box codes, and matching with objects."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from runners.engine.detection.torchvision_ops import BoxCoder, box_iou


def sizes(
    scale: float, further: float, ratios: Sequence[float], *, two_for_one: bool, levels: int = 1
) -> list[tuple[float, float]]:
    """(width, height) of a level's anchors in units of the input's shorter side. `further` is the next level's scale:
    `levels` scales lie between the two in geometric steps, and a square of the mean of both is added `two_for_one`."""
    found = []
    for step in range(levels):
        here = scale * (further / scale) ** (step / levels)
        beyond = scale * (further / scale) ** ((step + 1) / levels)
        for ratio in ratios:
            found.append((here * math.sqrt(ratio), here / math.sqrt(ratio)))
            if two_for_one and ratio == 1:
                found.append((math.sqrt(here * beyond),) * 2)
    return found


def grid(
    rows: int,
    columns: int,
    shapes: Sequence[tuple[float, float]],
    step: tuple[float, float],
    offset: tuple[float, float] = (0.5, 0.5),
) -> torch.Tensor:
    """Anchors [rows * columns * shapes, 4] as edges; shapes, steps (down, across) in pixels, offsets in steps."""
    down = (torch.arange(rows) + offset[0]) * step[0]
    across = (torch.arange(columns) + offset[1]) * step[1]
    centre = torch.stack(torch.meshgrid(down, across, indexing="ij")[::-1], dim=-1).reshape(-1, 1, 2)
    half = torch.tensor(shapes, dtype=torch.float32)[None] / 2
    return torch.cat([centre - half, centre + half], dim=-1).reshape(-1, 4)


def scaled(stride: int, scale: float, count: int, ratios: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """(width, height) in pixels of a pyramid's level as EfficientDet has them: `count` sizes from `scale` strides in
    geometric steps up to twice that, each in the ratios, which are factors across and down."""
    return [
        (stride * scale * 2 ** (step / count) * across, stride * scale * 2 ** (step / count) * down)
        for step in range(count)
        for across, down in ratios
    ]


def coder(variances: Sequence[float]) -> BoxCoder:
    """Offsets of centres by anchor sides and logarithms of sides, divided by the variances (x, y, width, height)."""
    x, y, width, height = (1 / value for value in variances)
    return BoxCoder(weights=(x, y, width, height))


def decode(codes: torch.Tensor, boxes: torch.Tensor, coder: BoxCoder) -> torch.Tensor:
    """Boxes [..., 4] of the codes [..., 4] that `coder` gives relative to boxes [..., 4]."""
    sides = boxes[..., 2:] - boxes[..., :2]
    centres = boxes[..., :2] + sides / 2
    offsets = codes / codes.new_tensor(coder.weights)
    middle = offsets[..., :2] * sides + centres
    half = offsets[..., 2:].clamp(max=coder.bbox_xform_clip).exp() * sides / 2
    return torch.cat([middle - half, middle + half], dim=-1)


def match(boxes: torch.Tensor, anchors: torch.Tensor, positive: float, negative: float) -> torch.Tensor:
    """For each anchor the index of its object, -1 for background, -2 between the two thresholds. Each object has at
    least the anchor that overlaps it most."""
    if not len(boxes):
        return torch.full((len(anchors),), -1, dtype=torch.long, device=anchors.device)
    overlaps = box_iou(boxes, anchors)
    best, found = overlaps.max(dim=0)
    found = torch.where(best < positive, torch.where(best < negative, -1, -2), found)
    own = overlaps.argmax(dim=1)
    found[own] = torch.arange(len(boxes), device=anchors.device)
    return found
