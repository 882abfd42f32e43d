"""Trainings that get SIGTERM between two steps, and what they are compared with."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from runners.engine.core.trainer import Trainer


@contextmanager
def sigterm_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Send SIGTERM to this process after so many steps of a training. Yields the list of what each step returned."""
    step: Any = Trainer.step
    done: list[Any] = []

    def stopping(self: Any, *arguments: Any) -> Any:
        found = step(self, *arguments)
        done.append(found)
        if len(done) == steps:
            signal.raise_signal(signal.SIGTERM)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", stopping)
        yield done


def same(one: Any, other: Any) -> bool:
    """Whether two nested values of tensors and plain values are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
