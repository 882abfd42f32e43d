"""Optimisers and learning rates of the TF1 and TF2 tools' classifiers, as Keras has them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from runners.engine.classification.settings import Adam, LrConfig, RmsProp, Sgd
from runners.engine.core import optimise
from runners.engine.core.optimise import Schedule


def optimiser(chosen: Sgd | Adam | RmsProp) -> Callable[[nn.Module], torch.optim.Optimizer]:
    def of(model: nn.Module) -> torch.optim.Optimizer:
        if isinstance(chosen, Adam):
            return optimise.adam(model, chosen.lr, betas=(chosen.beta_1, chosen.beta_2), eps=chosen.epsilon)
        if isinstance(chosen, RmsProp):
            return optimise.rmsprop(model, chosen.lr, rho=chosen.rho, eps=chosen.epsilon)
        return optimise.sgd(model, chosen.lr, momentum=chosen.momentum, nesterov=chosen.nesterov)

    return of


def schedule(given: LrConfig, lr: float, decay: float, total: int) -> Schedule:
    """The rate of `given`, else `lr`; divided by 1 + `decay` times the step, as Keras does."""
    found = optimise.fixed(lr)
    if given.step:
        step = given.step
        found = optimise.every(step.learning_rate, step.gamma, round(total * step.step_size / 100))
    elif given.soft_anneal:
        soft = given.soft_anneal
        points = [round(point * total) for point in soft.annealing_points]
        falling = optimise.stepped(soft.learning_rate, 1 / soft.annealing_divider, points)
        found = optimise.warmed(falling, round(soft.soft_start * total))
    elif given.cosine:
        cosine = given.cosine
        falling = optimise.cosine(cosine.learning_rate, total, cosine.learning_rate * cosine.min_lr_ratio)
        found = optimise.warmed(falling, round(cosine.soft_start * total))
    return lambda step: found(step) / (1 + decay * step)
