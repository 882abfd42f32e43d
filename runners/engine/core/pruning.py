"""Structured pruning: whole channels of convolutions are removed, and their shapes are kept in the checkpoint.

Which layers depend on each other (residual sums, depthwise convolutions, norms) is what torch-pruning finds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
import torch
from torch import nn

from runners.engine.core.tf1 import Pruning
from runners.engine.errors import SpecError

Shapes = dict[str, list[int]]
"""Name of a tensor → its shape, of those that pruning changed."""


class Cost(msgspec.Struct, frozen=True):
    """Of a model for one image."""

    parameters: int
    operations: int
    """Multiplications with additions."""


def cost(model: nn.Module, example: torch.Tensor) -> Cost:
    import torch_pruning

    operations, parameters = torch_pruning.utils.count_ops_and_params(model, example)
    return Cost(int(parameters), int(operations))


def check_backbone(name: str) -> None:
    """Raise SpecError for a backbone that cannot be pruned."""
    if name.startswith("cspdarknet"):
        raise SpecError(
            f"The model is a {name}, which the engine does not prune: torch-pruning does not follow the halves that it "
            "joins; use another backbone."
        )


def prune(
    model: nn.Module,
    example: torch.Tensor,
    wanted: Pruning,
    heads: Sequence[nn.Module],
    traced: nn.Module | None = None,
) -> Shapes:
    """Remove channels; the outputs of `heads` stay. `traced` passes the example through the model where its own
    `forward` does not. Raises SpecError for a layer that does not exist."""
    import torch_pruning

    model.requires_grad_(True)  # dependencies are read off the graph of gradients
    modules = dict(model.named_modules())
    unknown = [name for name in wanted.excluded_layers if name not in modules]
    if unknown:
        raise SpecError(f"excluded_layers names '{unknown[0]}', which the model does not have.")
    ignored = [*heads, *(modules[name] for name in wanted.excluded_layers)]
    before = {name: value.shape for name, value in model.state_dict().items()}
    graph = torch_pruning.DependencyGraph().build_dependency(traced or model, example_inputs=example)
    for group in graph.get_all_groups(ignored_layers=ignored, root_module_types=[nn.Conv2d]):
        kernels = [
            step.dep.target.module.weight
            for step in group
            if isinstance(step.dep.target.module, nn.Conv2d)
            and step.dep.target.module.groups == 1
            and graph.is_out_channel_pruning_fn(step.dep.handler)
        ]
        removed = weakest([kernel.detach() for kernel in kernels], wanted)
        if removed:
            group.prune(idxs=removed)
    return {name: list(value.shape) for name, value in model.state_dict().items() if value.shape != before[name]}


def weakest(kernels: Sequence[torch.Tensor], wanted: Pruning) -> list[int]:
    """Channels that layers [channels, …], which must keep the same ones, can do without."""
    each = torch.stack([_strength(kernel.flatten(1).norm(dim=1), wanted) for kernel in kernels])
    criterion = wanted.equalization_criterion
    if criterion == "union":
        strength = each.amax(dim=0)
    elif criterion == "intersection":
        strength = each.amin(dim=0)
    elif criterion == "arithmetic_mean":
        strength = each.mean(dim=0)
    else:
        strength = each.clamp(min=1e-12).log().mean(dim=0).exp()
    there = len(strength)
    count = int((strength > wanted.threshold).sum())
    count = math.ceil(count / wanted.granularity) * wanted.granularity
    count = min(there, max(count, wanted.min_num_filters))
    order = strength.argsort(descending=True, stable=True)
    return sorted(int(index) for index in order[count:])


def _strength(norms: torch.Tensor, wanted: Pruning) -> torch.Tensor:
    whole = norms.max() if wanted.normalizer == "max" else norms.norm()
    return norms / whole.clamp(min=1e-12)


M = TypeVar("M", bound=nn.Module)


def reshape(model: M, shapes: Mapping[str, Sequence[int]]) -> M:
    """The model with its tensors in the shapes that pruning left them; they are zero until weights are loaded."""
    for name, module in model.named_modules():
        there = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        own = {key: (old, shapes[f"{name}.{key}"]) for key, old in there if f"{name}.{key}" in shapes}
        if not own:
            continue
        for key, (old, shape) in own.items():
            new = torch.zeros(*shape, dtype=old.dtype, device=old.device)
            if isinstance(old, nn.Parameter):
                new = nn.Parameter(new, requires_grad=old.requires_grad)
            setattr(module, key, new)
        if isinstance(module, nn.Conv2d):
            depthwise = module.groups > 1
            outputs, inputs = module.weight.shape[:2]
            module.groups = outputs if depthwise else 1
            module.in_channels, module.out_channels = inputs * module.groups, outputs
        elif isinstance(module, nn.BatchNorm2d):
            module.num_features = len(module.weight)
        elif isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
    return model
