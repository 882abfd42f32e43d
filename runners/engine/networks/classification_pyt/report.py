"""Reports of a training: log lines for people, status lines for the service."""

from __future__ import annotations

import logging
import time

from runners.engine.networks.classification_pyt.scoring import Score
from runners.engine.status import Pace, StatusWriter, span

log = logging.getLogger("engine")


class TrainReport:
    """Status lines within an epoch come at most twice a second, log lines at most four times; each epoch has its own.

    `loss` is the validation loss where there is a validation set, else the training loss. A line within an epoch does
    not carry its number: `epoch` is the last whole one.
    """

    def __init__(self, status: StatusWriter, epochs: int, steps: int, interval: int) -> None:
        self._status = status
        self._epochs, self._steps, self._interval = epochs, steps, interval
        self._lines, self._logged = Pace(0.5), Pace(0.25)
        self._began = time.monotonic()
        self._done = 0

    def due(self, step: int) -> bool:
        """Whether this step's loss will be reported; reading the loss makes the GPU wait, so ask this first."""
        self._done += 1
        return step % self._interval == 0 and self._logged.due()

    def step(self, epoch: int, step: int, loss: float, lr: float) -> None:
        log.info("epoch %d/%d  step %d/%d  loss %.4f  lr %.3g", epoch, self._epochs, step, self._steps, loss, lr)
        if not self._lines.due():
            return
        per_step = (time.monotonic() - self._began) / max(1, self._done)
        left = (self._epochs - epoch) * self._steps + self._steps - step
        self._status.running(
            f"Epoch {epoch} of {self._epochs}, step {step} of {self._steps}",
            max_epoch=self._epochs,
            cur_iter=step,
            time_per_iter=span(per_step),
            eta=span(left * per_step),
            mode="train",
            graphical={"batch_loss": loss},
        )

    def epoch(self, epoch: int, seconds: float, train: dict[str, float], score: Score | None, lr: float) -> None:
        """`train`: train_loss and train_accuracy_top-1; `score`: of the validation, where there was one."""
        kpi = {**(score.kpi() if score else {}), **train}
        graphical = {**kpi, "lr": lr}
        values = "  ".join(f"{name} {value:.4f}" for name, value in kpi.items())
        log.info("epoch %d/%d done in %.1f s  %s", epoch, self._epochs, seconds, values)
        fields = {"categorical": {"accuracy": score.accuracy()}} if score else {}
        self._status.running(
            f"Epoch {epoch} of {self._epochs} done",
            epoch=epoch,
            max_epoch=self._epochs,
            time_per_epoch=span(seconds),
            eta=span((self._epochs - epoch) * seconds),
            kpi=kpi,
            graphical=graphical,
            **fields,
        )
