"""Optimisers, and learning-rate schedules as pure functions of the step: nothing of a schedule has to be saved."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

Schedule = Callable[[int], float]
"""Global step (from 0) → learning rate."""

CLIP = 10.0
"""Norm of the gradients that a step may have where the specification has no limit: the tools of TF1 and TF2 have none,
and diverge where it would act."""


def groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Parameter groups: norms, biases and other vectors are not decayed; frozen weights are left out."""
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in learnt if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in learnt if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def freeze_norms(model: nn.Module) -> None:
    """Take the weights of all batch norms out of the training; their statistics stay as they are, too."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(False)
            module.register_forward_pre_hook(_keep_statistics)


def _keep_statistics(module: nn.Module, _: object) -> None:
    module.training = False


def penalty(model: nn.Module, kind: str, weight: float, dimensions: Sequence[int] = (4,)) -> torch.Tensor | None:
    """What regularisation adds to the loss for kernels of so many dimensions (4: convolutions, 2: linear layers)."""
    if not weight or kind not in ("L1", "L2"):
        return None
    kernels = [one for one in model.parameters() if one.ndim in dimensions and one.requires_grad]
    norms = torch.stack([one.abs().sum() if kind == "L1" else one.square().sum() for one in kernels])
    return weight * norms.sum()


def sgd(
    model: nn.Module, lr: float, *, weight_decay: float = 0.0, momentum: float = 0.9, nesterov: bool = False
) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups(model, weight_decay), lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0)


def adam(
    model: nn.Module,
    lr: float,
    *,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    decoupled: bool = False,
) -> torch.optim.Optimizer:
    """Adam; AdamW where `decoupled`."""
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    return kind(groups(model, weight_decay), lr=lr, betas=betas, eps=eps, fused=True)


def rmsprop(
    model: nn.Module, lr: float, *, weight_decay: float = 0.0, rho: float = 0.9, eps: float = 1e-7, momentum: float = 0
) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(groups(model, weight_decay), lr=lr, alpha=rho, eps=eps, momentum=momentum)


def fixed(lr: float) -> Schedule:
    return lambda step: lr


def cosine(lr: float, total: int, floor: float = 0.0) -> Schedule:
    """From `lr` down to `floor` over `total` steps (Loshchilov and Hutter 2017, arXiv:1608.03983)."""
    return lambda step: floor + (lr - floor) * (1 + math.cos(math.pi * min(step, total) / max(1, total))) / 2


def poly(lr: float, total: int, power: float = 1.0, floor: float = 0.0) -> Schedule:
    return lambda step: floor + (lr - floor) * (1 - min(step, total) / max(1, total)) ** power


def stepped(lr: float, gamma: float, at: Sequence[int], floor: float = 0.0) -> Schedule:
    """Times `gamma` at each of the listed steps."""
    return lambda step: max(floor, lr * gamma ** sum(step >= drop for drop in at))


def every(lr: float, gamma: float, steps: int, floor: float = 0.0) -> Schedule:
    """Times `gamma` every so many steps."""
    return lambda step: max(floor, lr * gamma ** (step // max(1, steps)))


def warmed(schedule: Schedule, steps: int, ratio: float = 0.0, how: str = "linear") -> Schedule:
    """The schedule with its first `steps` scaled up from `ratio`: `linear`, `constant` or `exp`."""

    def at(step: int) -> float:
        rate = schedule(step)
        if step >= steps:
            return rate
        done = step / steps
        if how == "linear":
            return rate * (ratio + (1 - ratio) * done)
        return rate * (ratio if how == "constant" else ratio ** (1 - done))

    return at


def soft_start(
    low: float, high: float, total: int, *, rising: float, annealing: float, cosine: bool = False
) -> Schedule:
    """TAO's soft start: up from `low` to `high` over the share `rising` of the steps, level, and from the share
    `annealing` down to `low` again; exponentially, or along a cosine from the end of the rise."""

    def at(step: int) -> float:
        done = min(1.0, step / max(1, total))
        if done < rising:
            return low * math.pow(high / low, done / rising)
        if cosine:
            return low + (high - low) * (1 + math.cos(math.pi * (done - rising) / max(1e-9, 1 - rising))) / 2
        if done <= annealing or annealing >= 1:
            return high
        return high * math.pow(low / high, (done - annealing) / (1 - annealing))

    return at
