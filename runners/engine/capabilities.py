"""What the engine can do, as plain data, asked when a job is posted: nothing heavy is imported here."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from runners.engine.errors import SpecError
from runners.engine.networks.classification_pyt import offer as classification_pyt

_OFFERS = {"classification_pyt": classification_pyt}

NETWORKS: dict[str, tuple[str, ...]] = {name: tuple(offer.ACTIONS) for name, offer in _OFFERS.items()}
"""Network → actions."""

BACKBONES: dict[str, tuple[str, ...]] = {name: tuple(offer.BACKBONES) for name, offer in _OFFERS.items()}
"""Network → values of `model.backbone.type`."""


def can(network: str, action: str, spec: dict[str, Any] | None = None) -> tuple[bool, str, str]:
    """Whether the engine can do this: (able, reason, remedy). Without `spec`: in general.

    `spec` is the whole document as the run will get it, defaults filled in.
    """
    if network not in _OFFERS:
        have = ", ".join(_OFFERS)
        return False, f"The embedded engine has no network '{network}'; it has {have}.", _OTHER_RUNNER
    offer = _OFFERS[network]
    if action not in offer.ACTIONS:
        have = ", ".join(offer.ACTIONS)
        return False, f"The embedded engine cannot {action} {network}; it can {have}.", _OTHER_RUNNER
    missing = [module for module in offer.ACTIONS[action] if find_spec(module) is None]
    if missing:
        reason = f"The embedded engine needs {', '.join(missing)}, which this Python lacks."
        return False, reason, "Install the extra: pip install 'taod[engine]'."
    if spec is None:
        return True, "", ""
    try:
        offer.check(action, spec)
    except SpecError as error:
        return False, str(error), f"Change the {action} spec, or configure a runner that has the original network."
    return True, "", ""


_OTHER_RUNNER = "Configure another runner for it in taod.toml ([runner] order and [[runner.rule]])."
