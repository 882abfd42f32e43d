"""Runs an action of a network: by the module that its family has for it, else by the core's."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runners.engine.run import Run

_SAME = {"retrain": "train", "confmat": "evaluate"}
"""Actions that do what another one does."""


def run(run: Run) -> str:
    """The closing sentence. Raises EngineError and Interrupted."""
    network = import_module(f"runners.engine.networks.{run.network}.network").NETWORK
    action = _SAME.get(run.action, run.action)
    module = network.own_actions.get(action, f"runners.engine.core.{action}")
    closing: str = import_module(module).run(run, network)
    return closing
