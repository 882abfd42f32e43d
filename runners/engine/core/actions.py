"""Runs an action of a network: the network's own module for it where it has one, else the core's."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runners.engine.run import Run


def run(run: Run) -> str:
    """The closing sentence. Raises EngineError and Interrupted."""
    package = f"runners.engine.networks.{run.network}"
    own = f"{package}.{run.action}"
    if find_spec(own) is not None:
        found: str = import_module(own).run(run)
        return found
    network = import_module(f"{package}.network").NETWORK
    action = {"retrain": "train"}.get(run.action, run.action)
    closing: str = import_module(f"runners.engine.core.{action}").run(run, network)
    return closing
