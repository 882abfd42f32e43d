"""One optimisation step, and what precision and device it runs in; it knows nothing of files or status."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager

import torch
from torch import nn

from runners.engine.networks.classification_pyt import optimise
from runners.engine.networks.classification_pyt.loading import Batch
from runners.engine.networks.classification_pyt.models import layout, normalise
from runners.engine.networks.classification_pyt.settings import Loss, TrainConfig

log = logging.getLogger("engine")


class Trainer:
    """A model with its optimiser, schedule and gradient scaler.

    `tally` float64 [2] gathers, over the steps since `clear`, the sum of losses and the number of right predictions.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        loss: Loss,
        schedule: optimise.Schedule,
        norm: tuple[list[float], list[float]],
        device: torch.device,
    ) -> None:
        self.device = device
        self.model = model.to(device, memory_format=layout(device))  # type: ignore[call-overload]
        self.optimiser = optimise.optimiser(config.optimizer, self.model)
        self.dtype = _precision(config.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.tally = torch.zeros(2, dtype=torch.float64, device=device)
        self.lr = config.optimizer.lr
        clip = config.optimizer_config.grad_clip
        self._max_norm = clip.max_norm if clip else None
        self._schedule = schedule
        self._mean, self._std = (torch.tensor(part, device=device).view(1, 3, 1, 1) for part in norm)
        self._weight = loss.loss_weight
        self._criterion = nn.CrossEntropyLoss(label_smoothing=loss.smoothing)

    def step(self, batch: Batch, number: int) -> torch.Tensor:
        """Learn from a batch as global step `number`; returns the loss, still on the device."""
        self.lr = self._schedule(number)
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr
        pixels = normalise(batch.pixels.to(self.device, non_blocking=True), self._mean, self._std)
        labels = batch.labels.to(self.device, non_blocking=True)
        with self._autocast():
            logits = self.model(pixels)
            loss: torch.Tensor = self._criterion(logits, labels) * self._weight
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self._max_norm is not None:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.model.parameters(), self._max_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        loss = loss.detach()
        hits = (logits.detach().argmax(dim=1) == labels).sum()
        self.tally += torch.stack((loss.double() * len(labels), hits.double()))
        return loss

    def clear(self) -> None:
        self.tally.zero_()

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


def _precision(wanted: str, device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        if wanted not in ("auto", "fp32"):
            log.warning("train.train_config.precision %s is for GPUs; this run is on the CPU and uses fp32", wanted)
        return torch.float32
    if wanted == "auto":
        wanted = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]
