"""How images and weights lie in memory, and the arithmetic that a batch of images shares."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch.utils._pytree import tree_map_only

T = TypeVar("T")


def layout(device: torch.device) -> torch.memory_format:
    """How images and weights lie in memory: channels last on a GPU, where convolutions are faster so.

    Not on the CPU: there oneDNN writes past its buffers in the backward pass of narrow strided 1x1 convolutions laid
    out so (8 channels, several threads, an odd batch; seen with torch 2.13).
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def normalise(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 [n, height, width, channels] to normalised float32 [n, channels, height, width], laid out as the device
    likes it. `mean`, `std`: float32 [1, channels, 1, 1] on the 0-255 scale."""
    planes = pixels.permute(0, 3, 1, 2)
    return planes.to(torch.float32, memory_format=layout(pixels.device)).sub_(mean).div_(std)


def scaled(pixels: torch.Tensor, mean: list[float], std: list[float]) -> torch.Tensor:
    """`normalise` with plain lists."""
    shift, scale = (torch.tensor(part, device=pixels.device).view(1, -1, 1, 1) for part in (mean, std))
    return normalise(pixels, shift, scale)


def to_device(data: T, device: torch.device) -> T:
    """The same nested value with its tensors on the device."""
    moved: T = tree_map_only(torch.Tensor, lambda tensor: tensor.to(device, non_blocking=True), data)
    return moved
