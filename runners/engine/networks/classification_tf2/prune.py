"""The prune action of classification_tf2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runners.engine.classification.prune import prune
from runners.engine.networks.classification_tf2.network import NETWORK

if TYPE_CHECKING:
    from runners.engine.run import Run


def run(run: Run) -> str:
    return prune(run, NETWORK)
