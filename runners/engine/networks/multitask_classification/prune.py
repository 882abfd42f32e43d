"""The prune action of multitask_classification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runners.engine.classification.prune import prune
from runners.engine.networks.multitask_classification.network import NETWORK

if TYPE_CHECKING:
    from runners.engine.run import Run


def run(run: Run) -> str:
    return prune(run, NETWORK)
