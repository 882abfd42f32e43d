"""Feature extractors of detectors under TAO's names, through timm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from runners.engine.core.optimise import freeze_norms
from runners.engine.detection import torchvision_ops  # noqa: F401  before timm, which imports torchvision
from runners.engine.errors import SpecError

_RESNETS = {10: "resnet18", 18: "resnet18", 34: "resnet34", 50: "resnet50", 101: "resnet101", 152: "resnet152"}
_NAMED = {
    "darknet_53": "darknet53",
    "cspdarknet_53": "cspdarknet53",
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "efficientnet_b0": "efficientnet_b0",
    "efficientnet_b1": "efficientnet_b1",
    "vgg_16": "vgg16_bn",
    "vgg_19": "vgg19_bn",
}
NAMES = ("resnet_10", *(f"resnet_{layers}" for layers in _RESNETS if layers != 10), *_NAMED)
"""Architecture and number of layers, joined by `_`."""
_FURTHER = {"cspdarknet_tiny": "cs3darknet_s"}
"""Those of single networks."""


def name_of(arch: str, layers: int | None, where: str, field: str = "nlayers") -> str:
    """The name in `NAMES` of an architecture. Raises SpecError naming the field."""
    given = arch if "_" in arch or not layers else f"{arch}_{layers}"
    if given not in NAMES:
        raise SpecError(f"{where}.arch '{arch}' with {field} {layers} is not in the engine; it has {', '.join(NAMES)}.")
    return given


class Backbone(nn.Module):
    """Features at the given strides (2, 4, 8, 16 or 32) of images [n, 3, height, width]; `channels` of each."""

    def __init__(self, name: str, strides: Sequence[int], *, output_stride: int | None = None) -> None:
        """`output_stride`: the later stages of a ResNet keep that stride."""
        super().__init__()
        import timm

        options: dict[str, object] = {"layers": (1, 1, 1, 1)} if name == "resnet_10" else {}
        if output_stride:
            options["output_stride"] = output_stride
        kind, _, layers = name.partition("_")
        model = _RESNETS[int(layers)] if kind == "resnet" else {**_NAMED, **_FURTHER}.get(name, name)
        probe = timm.create_model(model, features_only=True, **options)
        reductions: list[int] = probe.feature_info.reduction()
        # Of two features of a stride the later one is deeper.
        places = [len(reductions) - 1 - reductions[::-1].index(stride) for stride in strides]
        self.body = timm.create_model(model, features_only=True, out_indices=places, **options)
        if output_stride:
            _undilate(self.body)
        self.channels: list[int] = self.body.feature_info.channels()
        self.strides = list(strides)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        found: list[torch.Tensor] = self.body(images)
        return found

    def blocks(self) -> list[list[nn.Module]]:
        """Modules by block as `freeze_blocks` counts them: 0 is the stem, 1 the first stage …"""
        groups: dict[int, list[nn.Module]] = {}
        stage = 0
        for name, module in self.body.named_children():
            digits = "".join(filter(str.isdigit, name.partition("_")[0] or name))
            if name.startswith(("layer", "stages", "blocks", "stage")) and (digits or "_" in name):
                tail = name.rpartition("_")[2]
                stage = int(tail) + (0 if name.startswith("layer") else 1) if tail.isdigit() else int(digits)
            groups.setdefault(stage, []).append(module)
        return [groups[key] for key in sorted(groups)]


def _undilate(body: nn.Module) -> None:
    """Plain kernels where timm dilates those of stages that keep their stride."""
    for module in body.modules():
        if isinstance(module, nn.Conv2d) and module.dilation != (1, 1):
            module.dilation, module.padding = (1, 1), (module.kernel_size[0] // 2, module.kernel_size[1] // 2)


def freeze(backbone: Backbone, blocks: Sequence[int], *, norms: bool) -> None:
    """Take weights out of the training: those of the blocks, and with `norms` those of all batch norms, which then
    also keep their statistics."""
    there = backbone.blocks()
    for number in blocks:
        if not 0 <= number < len(there):
            raise SpecError(f"freeze_blocks names block {number}; this backbone has 0 to {len(there) - 1}.")
        for module in there[number]:
            for parameter in module.parameters():
                parameter.requires_grad_(False)
    if norms:
        freeze_norms(backbone)
