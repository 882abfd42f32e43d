"""Optimisers, and learning-rate schedules as pure functions of the step: nothing of a schedule has to be saved."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from runners.engine.networks.classification_pyt.settings import LrConfig, Optimizer

Schedule = Callable[[int], float]
"""Global step (from 0) → learning rate."""


def optimiser(settings: Optimizer, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD; norms, biases and other vectors are not decayed."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if settings.type == "SGD":
        nesterov = settings.nesterov and settings.momentum > 0
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=nesterov)
    kind = torch.optim.AdamW if settings.type == "AdamW" else torch.optim.Adam
    return kind(groups, lr=settings.lr, betas=settings.betas, fused=True)


def schedule(settings: LrConfig, lr: float, steps_per_epoch: int, epochs: int) -> Schedule:
    """The learning rate at each step of a run of `epochs`."""
    total = max(1, steps_per_epoch * epochs)
    floor = settings.min_lr if settings.min_lr_ratio is None else lr * settings.min_lr_ratio
    warm = settings.warmup_iters * (steps_per_epoch if settings.warmup_by_epoch else 1) if settings.warmup else 0
    decay = _decay(settings, lr, floor, steps_per_epoch, total)

    def at(step: int) -> float:
        rate = decay(step)
        if step >= warm:
            return rate
        ratio, done = settings.warmup_ratio, step / warm
        if settings.warmup == "linear":
            return rate * (ratio + (1 - ratio) * done)
        return rate * (ratio if settings.warmup == "constant" else ratio ** (1 - done))

    return at


def _decay(settings: LrConfig, lr: float, floor: float, steps_per_epoch: int, total: int) -> Schedule:
    if settings.policy == "CosineAnnealing":
        return lambda step: floor + (lr - floor) * (1 + math.cos(math.pi * min(step, total) / total)) / 2
    if settings.policy == "poly":
        return lambda step: floor + (lr - floor) * (1 - min(step, total) / total) ** settings.power
    if settings.policy == "exp":
        return lambda step: max(floor, lr * settings.gamma ** (step // steps_per_epoch))
    if settings.policy == "step":
        return lambda step: max(floor, lr * settings.gamma ** _drops(settings.step, step // steps_per_epoch))
    return lambda step: lr


def _drops(step: int | list[int], epochs_done: int) -> int:
    """How often the rate has dropped: every `step` epochs, or at each listed epoch."""
    return epochs_done // step if isinstance(step, int) else sum(epochs_done >= epoch for epoch in step)
