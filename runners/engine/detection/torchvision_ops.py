"""torchvision where its compiled part cannot be loaded (a wheel for CUDA on a machine without it): detectors import
what they use of it from here. Where the compiled part is there, nothing is changed.

The two operators that detectors need are then defined here: greedy NMS, and RoI align by bilinear sampling.
"""

from __future__ import annotations

import torch
from torch import nn

from runners.engine.core import vision


def sampled_roi_align(
    input: torch.Tensor,
    boxes: torch.Tensor | list[torch.Tensor],
    output_size: int | tuple[int, int] | list[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> torch.Tensor:
    """RoI align of features [N, C, H, W] with a fixed number of samples a bin (2 x 2 where the ratio is adaptive).

    `boxes` [n, 5] (image, edges) or one [n, 4] an image; returns [n, C, height, width].
    """
    height, width = (output_size, output_size) if isinstance(output_size, int) else output_size
    if not isinstance(boxes, torch.Tensor):
        numbers = [one.new_full((len(one), 1), index) for index, one in enumerate(boxes)]
        boxes = torch.cat([torch.cat(pair, dim=1) for pair in zip(numbers, boxes, strict=True)])
    samples = sampling_ratio if sampling_ratio > 0 else 2
    shift = 0.5 if aligned else 0.0
    left, top, right, bottom = (boxes[:, 1:] * spatial_scale - shift).unbind(dim=1)
    across, down = right - left, bottom - top
    if not aligned:
        across, down = across.clamp(min=1.0), down.clamp(min=1.0)

    def places(start: torch.Tensor, length: torch.Tensor, bins: int, cells: int) -> torch.Tensor:
        share = (torch.arange(bins * samples, device=boxes.device, dtype=boxes.dtype) + 0.5) / (bins * samples)
        # The operator repeats the border's value up to one cell outside; coordinates are of cell centres.
        place = (start[:, None] + share * length[:, None]).clamp(0, cells - 1)
        return (place * 2 + 1) / cells - 1

    rows = places(top, down, height, input.shape[-2])
    columns = places(left, across, width, input.shape[-1])
    out = input.new_zeros(len(boxes), input.shape[1], height, width)
    for image in range(len(input)):
        chosen = torch.where(boxes[:, 0] == image)[0]
        if not len(chosen):
            continue
        x = columns[chosen][:, None, :].expand(-1, rows.shape[1], -1)
        y = rows[chosen][:, :, None].expand(-1, -1, columns.shape[1])
        grid = torch.stack([x, y], dim=-1)  # [n, rows, columns, 2]
        flat = grid.reshape(1, -1, grid.shape[2], 2)
        found = nn.functional.grid_sample(input[image : image + 1], flat.to(input.dtype), align_corners=False)
        found = found.reshape(input.shape[1], len(chosen), height, samples, width, samples).mean(dim=(3, 5))
        out = out.index_copy(0, chosen, found.transpose(0, 1))
    return out


def _define() -> None:
    """Define what is missing, where it is missing."""
    vision.define()
    from torchvision.extension import _has_ops
    from torchvision.models.detection import roi_heads
    from torchvision.ops import boxes, poolers

    if not _has_ops():
        boxes._assert_has_ops = lambda: None
        poolers.roi_align = roi_heads.roi_align = sampled_roi_align


_define()

from torchvision import tv_tensors as tv_tensors  # noqa: E402
from torchvision.models.detection._utils import BoxCoder as BoxCoder  # noqa: E402
from torchvision.ops import FeaturePyramidNetwork as FeaturePyramidNetwork  # noqa: E402
from torchvision.ops import batched_nms as batched_nms  # noqa: E402
from torchvision.ops import box_iou as box_iou  # noqa: E402
from torchvision.ops import complete_box_iou_loss as complete_box_iou_loss  # noqa: E402
from torchvision.ops import sigmoid_focal_loss as sigmoid_focal_loss  # noqa: E402
from torchvision.transforms import v2 as v2  # noqa: E402
