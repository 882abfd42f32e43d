"""Reports of a training: log lines for people, status lines for the service."""

from __future__ import annotations

import logging
import time

from runners.engine.status import Pace, StatusWriter, span

log = logging.getLogger("engine")


class TrainReport:
    """Status lines within an epoch come at most twice a second, log lines at most four times; each epoch has its own.

    A line within an epoch does not carry its number: `epoch` is the last whole one. A training that counts iterations
    reports `cur_iter` instead of `epoch`.
    """

    def __init__(self, status: StatusWriter, epochs: int, steps: int, interval: int, iterations: int | None) -> None:
        self._status = status
        self._epochs, self._steps, self._interval, self._iterations = epochs, steps, interval, iterations
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
        done = (epoch - 1) * self._steps + step
        place = f"Epoch {epoch} of {self._epochs}, step {step} of {self._steps}"
        self._status.running(
            place if self._iterations is None else f"Step {done} of {self._iterations}",
            **({"max_epoch": self._epochs} if self._iterations is None else {"max_iter": self._iterations}),
            cur_iter=step if self._iterations is None else done,
            time_per_iter=span(per_step),
            eta=span(left * per_step),
            mode="train",
            graphical={"batch_loss": loss},
        )

    def epoch(
        self,
        epoch: int,
        seconds: float,
        kpi: dict[str, float],
        categorical: dict[str, dict[str, float]],
        lr: float,
    ) -> None:
        """An epoch is done, with its validation where it has one."""
        values = "  ".join(f"{name} {value:.4f}" for name, value in kpi.items())
        log.info("epoch %d/%d done in %.1f s  %s", epoch, self._epochs, seconds, values)
        further = {"categorical": categorical} if categorical else {}
        common = {
            "time_per_epoch": span(seconds),
            "eta": span((self._epochs - epoch) * seconds),
            "kpi": kpi,
            "graphical": {**kpi, "lr": lr},
        }
        if self._iterations is not None:
            done = min(epoch * self._steps, self._iterations)
            message = f"Step {done} of {self._iterations} done"
            self._status.running(message, cur_iter=done, max_iter=self._iterations, **common, **further)
            return
        message = f"Epoch {epoch} of {self._epochs} done"
        self._status.running(message, epoch=epoch, max_epoch=self._epochs, **common, **further)
