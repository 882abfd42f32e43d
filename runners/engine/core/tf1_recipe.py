"""The training that the common groups of TAO's TF1 tools describe: optimiser, learning rate, penalty."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from runners.engine.core import optimise
from runners.engine.core.network import Recipe
from runners.engine.core.optimise import Schedule
from runners.engine.core.tf1 import LearningRate, Optimizer, Sgd, TrainingConfig
from runners.engine.errors import SpecError


def recipe(config: TrainingConfig, *, seed: int, gpus: int, mixed: bool, validation_interval: int = 1) -> Recipe:
    """How to train as the common group says."""
    stop = config.early_stopping
    return Recipe(
        epochs=config.num_epochs,
        batch=config.batch_size_per_gpu,
        optimiser=optimiser(config.optimizer),
        schedule=lambda steps: schedule(config.learning_rate, steps * config.num_epochs),
        seed=seed,
        precision="auto" if mixed else "fp32",
        clip_norm=optimise.CLIP,
        ema_decay=0.9999 if config.model_ema else None,
        checkpoint_interval=config.checkpoint_interval,
        validation_interval=validation_interval,
        patience=stop.patience if stop else None,
        monitor="loss",
        resume=config.resume_model_path or None,
        start=config.pretrain_model_path or config.pruned_model_path or None,
        gpus=gpus,
        resume_field="training_config.resume_model_path",
        start_field="training_config.pretrain_model_path",
        lr_field="training_config.learning_rate",
        precision_field="use_amp",
    )


def schedule(given: LearningRate, total: int) -> Schedule:
    """Raises SpecError where there is none."""
    plain, cosine = given.soft_start_annealing_schedule, given.soft_start_cosine_annealing_schedule
    if cosine is not None:
        low, high, rising = cosine.min_learning_rate, cosine.max_learning_rate, cosine.soft_start
        return optimise.soft_start(low, high, total, rising=rising, annealing=1.0, cosine=True)
    if plain is None:
        raise SpecError("training_config.learning_rate has no schedule; set soft_start_annealing_schedule.")
    return optimise.soft_start(
        plain.min_learning_rate, plain.max_learning_rate, total, rising=plain.soft_start, annealing=plain.annealing
    )


def optimiser(given: Optimizer) -> Callable[[nn.Module], torch.optim.Optimizer]:
    def of(model: nn.Module) -> torch.optim.Optimizer:
        learnt = [one for one in model.parameters() if one.requires_grad]
        if given.adam:
            adam = given.adam
            return torch.optim.Adam(
                learnt, lr=1e-3, betas=(adam.beta1, adam.beta2), eps=adam.epsilon, amsgrad=adam.amsgrad
            )
        if given.rmsprop:
            rms = given.rmsprop
            return torch.optim.RMSprop(
                learnt, lr=1e-3, alpha=rms.rho, eps=rms.epsilon, momentum=rms.momentum, centered=rms.centered
            )
        sgd = given.sgd or Sgd()
        return torch.optim.SGD(learnt, lr=1e-3, momentum=sgd.momentum, nesterov=sgd.nesterov and sgd.momentum > 0)

    return of
