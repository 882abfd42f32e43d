"""What the engine can do, as plain data, asked when a job is posted: nothing heavy is imported here."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from runners.engine.data import capabilities as data
from runners.engine.errors import SpecError
from runners.engine.networks.classification_pyt import capabilities as classification_pyt

_OFFERS = {"classification_pyt": classification_pyt}

NETWORKS: dict[str, tuple[str, ...]] = {
    **{name: tuple(offer.ACTIONS) for name, offer in _OFFERS.items()},
    **{name: tuple(actions) for name, actions in data.SERVICES.items()},
}
"""Network or data service → actions."""

WITHOUT_TORCH = frozenset(data.SERVICES)
"""What works where only the core is installed."""

BACKBONES: dict[str, tuple[str, ...]] = {name: tuple(offer.BACKBONES) for name, offer in _OFFERS.items()}
"""Network → values of `model.backbone.type`."""


def can(network: str, action: str, spec: dict[str, Any] | None = None) -> tuple[bool, str, str]:
    """Whether the engine can do this: (able, reason, remedy). Without `spec`: in general.

    `spec` is the whole document as the run will get it, defaults filled in.
    """
    if network in data.UNSUPPORTED:
        return False, *data.UNSUPPORTED[network]
    if network not in NETWORKS:
        have = ", ".join(NETWORKS)
        return False, f"The embedded engine has no network '{network}'; it has {have}.", _OTHER_RUNNER
    if action not in NETWORKS[network]:
        have = ", ".join(NETWORKS[network])
        return False, f"The embedded engine cannot {action} {network}; it can {have}.", _OTHER_RUNNER
    actions = data.SERVICES[network] if network in data.SERVICES else _OFFERS[network].ACTIONS
    missing = [module for module in actions[action] if find_spec(module) is None]
    if missing:
        reason = f"The embedded engine needs {', '.join(missing)}, which this Python lacks."
        extra = "data" if network in data.SERVICES else "engine"
        return False, reason, f"Install the extra: pip install 'taod[{extra}]'."
    if spec is None:
        return True, "", ""
    try:
        if network in data.SERVICES:
            data.check(network, action, spec)
        else:
            _OFFERS[network].check(action, spec)
    except SpecError as error:
        return False, str(error), f"change that in the specification of {action}"
    return True, "", ""


def module(network: str, action: str) -> str:
    """The module whose `run` does an action that the engine has."""
    if network in data.SERVICES:
        return f"runners.engine.data.{data.MODULES[network, action]}"
    return f"runners.engine.networks.{network}.{action}"


_OTHER_RUNNER = "Configure another runner for it in taod.toml ([runner] order and [[runner.rule]])."
