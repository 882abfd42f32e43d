"""One optimisation step, and what precision and device it runs in; it knows nothing of files or status."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import PARAM_LIST, AveragedModel

from runners.engine.core import distributed
from runners.engine.core.distributed import Group
from runners.engine.core.network import Loss, Recipe
from runners.engine.core.optimise import Schedule
from runners.engine.core.pixels import layout

log = logging.getLogger("engine")

LossOf = Callable[[nn.Module, int], Loss]
"""(the model to call, global step) → the loss of a batch."""


class Trainer:
    """A model with its optimiser, schedule, gradient scaler and moving average.

    `tally` float64 gathers, over the steps since `clear`, the sum of losses and the further sums of each loss.
    """

    def __init__(
        self, model: nn.Module, recipe: Recipe, schedule: Schedule, device: torch.device, group: Group | None = None
    ) -> None:
        self.device = device
        self.group = group or Group()
        self.model = model.to(device, memory_format=layout(device))  # type: ignore[call-overload]
        self.parallel = distributed.wrap(self.model, self.group, device)
        if isinstance(self.parallel, DistributedDataParallel):
            self.model = self.parallel.module
        self.optimiser = recipe.optimiser(self.model)
        self.dtype = _precision(recipe, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.average: AveragedModel | None = None
        if recipe.ema_decay is not None:
            self.average = AveragedModel(self.model, multi_avg_fn=self._follow, use_buffers=True)
        self.tally = torch.zeros(1, dtype=torch.float64, device=device)
        self.names: list[str] = []
        self.lr = schedule(0)
        self._recipe = recipe
        self._schedule = schedule
        self._open = 0

    @property
    def deployed(self) -> nn.Module:
        """The weights that are evaluated: the moving average where there is one."""
        return self.average.module if self.average is not None else self.model

    @property
    def between(self) -> bool:
        """Whether no gradients are waiting for more batches: a state can be saved."""
        return self._open == 0

    def step(self, loss_of: LossOf, count: int, number: int, last: bool = False) -> torch.Tensor:
        """Learn from a batch of `count` samples as global step `number`; returns the loss, still on the device.

        `last`: no batch follows whose gradients could be added.
        """
        self.lr = self._schedule(number)
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr * group.get("lr_scale", 1.0)
        closing = last or self._open + 1 >= self._recipe.accumulate
        with self._together(closing):
            with self._autocast():
                found = loss_of(self.parallel, number)
            if not self._open:
                self.optimiser.zero_grad(set_to_none=True)
            share = self._share(count) / self._recipe.accumulate
            scaled = found.total if share == 1 else found.total * share
            self.scaler.scale(scaled).backward()  # type: ignore[no-untyped-call]
        self._open = 0 if closing else self._open + 1
        if closing:
            self._apply()
        loss = found.total.detach()
        self._count(loss, count, found)
        return loss

    def clear(self) -> None:
        self.tally.zero_()

    def _apply(self) -> None:
        recipe = self._recipe
        if recipe.clip_norm is not None or recipe.clip_value is not None:
            self.scaler.unscale_(self.optimiser)
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        if recipe.clip_value is not None:
            nn.utils.clip_grad_value_(self.model.parameters(), recipe.clip_value)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.model)

    @torch.no_grad()
    def _follow(self, average: PARAM_LIST, weights: PARAM_LIST, _: torch.Tensor | int) -> None:
        """The average follows the weights, slower with each update up to the decay, as TensorFlow's does with its
        number of updates: with the decay from the start, a short training would stay at its first weights."""
        assert self.average is not None and self._recipe.ema_decay is not None
        updates = int(self.average.n_averaged)  # kept on the CPU: nothing waits for the device
        decay = min(self._recipe.ema_decay, (1 + updates) / (10 + updates))
        if average[0].is_floating_point():
            torch._foreach_lerp_(average, weights, 1 - decay)
        else:
            torch._foreach_copy_(average, weights)  # counts of batches

    def _count(self, loss: torch.Tensor, count: int, found: Loss) -> None:
        if not self.names and found.sums:
            self.names = list(found.sums)
        if len(self.tally) != 1 + len(self.names):
            self.tally = torch.zeros(1 + len(self.names), dtype=torch.float64, device=self.device)
        parts = (loss.double() * count, *(found.sums[name].detach().double() for name in self.names))
        self.tally += torch.stack(parts)

    def _share(self, count: int) -> float:
        """What this process's mean counts in the mean that DDP takes: equal to one process with the whole batch."""
        if self.group.size == 1:
            return 1.0
        every = distributed.sum_over_processes(torch.tensor(float(count), device=self.device), self.group).item()
        return count * self.group.size / max(1.0, every)

    def _together(self, closing: bool) -> AbstractContextManager[object]:
        """Gradients are exchanged once for each step of the optimiser."""
        if isinstance(self.parallel, DistributedDataParallel) and not closing:
            return self.parallel.no_sync()
        return contextlib.nullcontext()

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)


def prepare(device: torch.device, seed: int, *, deterministic: bool) -> None:
    """Seed every random source and set the libraries' switches. On CPU the run is always deterministic."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if device.type == "cpu" or deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = not deterministic
        torch.set_float32_matmul_precision("high")


def _precision(recipe: Recipe, device: torch.device) -> torch.dtype:
    wanted: str = recipe.precision
    if device.type != "cuda":
        if wanted not in ("auto", "fp32"):
            log.warning("%s %s is for GPUs; this run is on the CPU and uses fp32", recipe.precision_field, wanted)
        return torch.float32
    if wanted == "auto":
        wanted = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]
