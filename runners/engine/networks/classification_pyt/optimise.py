"""The optimiser and the learning-rate schedule that a specification names."""

from __future__ import annotations

import torch
from torch import nn

from runners.engine.core import optimise
from runners.engine.core.optimise import Schedule
from runners.engine.networks.classification_pyt.settings import LrConfig, Optimizer


def optimiser(settings: Optimizer, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD."""
    lr, decay = settings.lr, settings.weight_decay
    if settings.type == "SGD":
        return optimise.sgd(model, lr, weight_decay=decay, momentum=settings.momentum, nesterov=settings.nesterov)
    return optimise.adam(model, lr, weight_decay=decay, betas=settings.betas, decoupled=settings.type == "AdamW")


def schedule(settings: LrConfig, lr: float, steps_per_epoch: int, epochs: int) -> Schedule:
    """The learning rate at each step of a run of `epochs`."""
    total = max(1, steps_per_epoch * epochs)
    floor = settings.min_lr if settings.min_lr_ratio is None else lr * settings.min_lr_ratio
    warm = settings.warmup_iters * (steps_per_epoch if settings.warmup_by_epoch else 1) if settings.warmup else 0
    decay = _decay(settings, lr, floor, steps_per_epoch, total)
    return optimise.warmed(decay, warm, settings.warmup_ratio, settings.warmup or "linear")


def _decay(settings: LrConfig, lr: float, floor: float, steps_per_epoch: int, total: int) -> Schedule:
    if settings.policy == "CosineAnnealing":
        return optimise.cosine(lr, total, floor)
    if settings.policy == "poly":
        return optimise.poly(lr, total, settings.power, floor)
    if settings.policy == "exp":
        return optimise.every(lr, settings.gamma, steps_per_epoch, floor)
    if settings.policy == "step":
        if isinstance(settings.step, int):
            return optimise.every(lr, settings.gamma, settings.step * steps_per_epoch, floor)
        return optimise.stepped(lr, settings.gamma, [epoch * steps_per_epoch for epoch in settings.step], floor)
    return optimise.fixed(lr)
