"""The process of one tracker: `python -m taod.trackers.process`. It writes one run for each request."""

from __future__ import annotations

import fcntl
import math
import os
import signal
import sys
from pathlib import Path

import msgspec

from taod.helper_process import serve
from taod.trackers.run import Run, Tracker

NICE = 10
LATE_S = 5
"""Seconds after the daemon's patience at which a process that hangs ends itself, if the daemon is gone."""


class Target(msgspec.Struct, frozen=True):
    """Where runs are written."""

    kind: str
    address: str
    lock: str
    """A file that the process locks while it lives: a former daemon's may still write."""
    timeout_s: float
    whole: bool = False
    """Whether it takes only runs that have ended or are paused."""


class Request(msgspec.Struct, frozen=True):
    target: Target
    run: Run


def open_tracker(target: Target) -> Tracker:
    """The tracker of a target. Raises ImportError without its library, OSError."""
    if target.kind == "mlflow":
        from taod.trackers.mlflow import MLflow

        return MLflow(target.address)
    if target.kind == "wandb":
        from taod.trackers.wandb import WandB

        return WandB(Path(target.address))
    from taod.trackers.tensorboard import TensorBoard

    return TensorBoard(Path(target.address))


class Process:
    """Opens its tracker at the first request."""

    def __init__(self) -> None:
        self._tracker: Tracker | None = None
        self._lock = -1
        self._decoder = msgspec.json.Decoder(Request)

    def answer(self, question: bytes) -> bytes:
        """Write a run. Returns why no run can be written now, as text; empty if it is done. Any other error concerns
        this run."""
        request = self._decoder.decode(question)
        signal.alarm(math.ceil(request.target.timeout_s) + LATE_S)
        try:
            if self._tracker is None:
                self._lock = os.open(request.target.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                self._tracker = open_tracker(request.target)
            self._tracker.write(request.run)
        except (OSError, ImportError) as error:
            return f"{type(error).__name__}: {error}".encode()
        finally:
            signal.alarm(0)
        return b""


def main() -> None:
    # Libraries of trackers import torch if it is installed, for tensors only: 2 s and 200 MB in each process.
    sys.modules["torch"] = None  # type: ignore[assignment]
    os.nice(NICE)
    serve(Process().answer)


if __name__ == "__main__":
    main()
