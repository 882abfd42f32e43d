"""The confmat action: a confusion matrix of each task, of the images of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runners.engine.core import evaluate
from runners.engine.networks.multitask_classification.network import NETWORK

if TYPE_CHECKING:
    from runners.engine.run import Run


def run(run: Run) -> str:
    return evaluate.run(run, NETWORK)
