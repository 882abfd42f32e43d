"""Features of regions: RoI align (He et al. 2017, arXiv:1703.06870), over one level or the levels of a pyramid.

torchvision's compiled operator does it where it can be loaded, bilinear sampling by torch where not, and in an export,
where it becomes ONNX's GridSample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from runners.engine.detection.torchvision_ops import has_ops

SAMPLES = 2
"""Points a side of each cell that are averaged."""


def points(boxes: torch.Tensor, count: int) -> torch.Tensor:
    """The middles of a grid of `count` x `count` cells over boxes [..., 4]: [..., count, count, 2] as (x, y)."""
    steps = (torch.arange(count, device=boxes.device, dtype=boxes.dtype) + 0.5) / count
    sides = boxes[..., 2:] - boxes[..., :2]
    across = boxes[..., 0:1] + steps * sides[..., 0:1]
    down = boxes[..., 1:2] + steps * sides[..., 1:2]
    shape = (*boxes.shape[:-1], count, count)
    return torch.stack([across[..., None, :].expand(shape), down[..., :, None].expand(shape)], dim=-1)


def sampled(features: torch.Tensor, boxes: torch.Tensor, size: int, stride: float) -> torch.Tensor:
    """RoI align by bilinear sampling: features [n, c, h, w], boxes [n, m, 4] in pixels → [n, m, c, size, size]."""
    batch, channels, height, width = features.shape
    count = boxes.shape[1]
    sides = boxes.new_tensor([width * stride, height * stride])
    grid = points(boxes, size * SAMPLES) / sides * 2 - 1
    rows = grid.reshape(batch, count * size * SAMPLES, size * SAMPLES, 2).to(features.dtype)
    found = nn.functional.grid_sample(features, rows, padding_mode="border", align_corners=False)
    cells = nn.functional.avg_pool2d(found, SAMPLES)
    return cells.reshape(batch, channels, count, size, size).transpose(1, 2)


def _of_images(
    features: torch.Tensor, boxes: torch.Tensor, images: torch.Tensor, size: int, stride: float
) -> torch.Tensor:
    """RoI align of boxes [k, 4], each in the image of its number `images` [k]: [k, c, size, size]."""
    if has_ops():
        rows = torch.cat([images[:, None].to(features.dtype), boxes.to(features.dtype)], dim=1)
        found: torch.Tensor = torch.ops.torchvision.roi_align(features, rows, 1 / stride, size, size, SAMPLES, True)
        return found
    out = features.new_zeros(len(boxes), features.shape[1], size, size)
    for number in sorted(set(images.tolist())):
        own = images == number
        out[own] = sampled(features[number : number + 1], boxes[own][None], size, stride)[0]
    return out


def level_of(boxes: torch.Tensor, strides: Sequence[int]) -> torch.Tensor:
    """The place in the levels that a box takes its features from: a box of 224 pixels is of stride 16 (Lin et al.
    2017, arXiv:1612.03144, equation 1)."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1).sqrt()
    wanted = torch.floor(4 + torch.log2(sides / 224 + 1e-6))
    first = round(math.log2(strides[0]))
    return (wanted - first).clamp(0, len(strides) - 1).long()


def align(levels: Sequence[torch.Tensor], boxes: torch.Tensor, size: int, strides: Sequence[int]) -> torch.Tensor:
    """Features [n, m, c, size, size] of boxes [n, m, 4] in pixels of the input, from levels [n, c, h, w]."""
    chosen = level_of(boxes, strides)
    if torch.compiler.is_exporting():
        each = [sampled(level, boxes, size, stride) for level, stride in zip(levels, strides, strict=True)]
        found = each[0]
        for place, further in enumerate(each[1:], 1):
            found = torch.where((chosen == place)[..., None, None, None], further, found)
        return found
    batch, count = boxes.shape[:2]
    images = torch.arange(batch, device=boxes.device)[:, None].expand(batch, count).flatten()
    flat, chosen = boxes.flatten(0, 1), chosen.flatten()
    out = levels[0].new_zeros(batch * count, levels[0].shape[1], size, size)
    for place, (level, stride) in enumerate(zip(levels, strides, strict=True)):
        own = (chosen == place).nonzero()[:, 0]
        if len(own):
            out = out.index_copy(0, own, _of_images(level, flat[own], images[own], size, stride).to(out.dtype))
    return out.reshape(batch, count, *out.shape[1:])
