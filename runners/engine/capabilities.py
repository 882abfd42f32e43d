"""What the engine can do, as plain data, asked when a job is posted: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from runners.engine.core import offer
from runners.engine.core.offer import Offer
from runners.engine.data import capabilities as data
from runners.engine.errors import SpecError
from runners.engine.networks.classification_pyt import capabilities as classification_pyt
from runners.engine.networks.classification_tf1 import capabilities as classification_tf1
from runners.engine.networks.classification_tf2 import capabilities as classification_tf2
from runners.engine.networks.detectnet_v2 import capabilities as detectnet_v2
from runners.engine.networks.dssd import capabilities as dssd
from runners.engine.networks.efficientdet_tf1 import capabilities as efficientdet_tf1
from runners.engine.networks.efficientdet_tf2 import capabilities as efficientdet_tf2
from runners.engine.networks.faster_rcnn import capabilities as faster_rcnn
from runners.engine.networks.mask_rcnn import capabilities as mask_rcnn
from runners.engine.networks.multitask_classification import capabilities as multitask_classification
from runners.engine.networks.retinanet import capabilities as retinanet
from runners.engine.networks.segformer import capabilities as segformer
from runners.engine.networks.ssd import capabilities as ssd
from runners.engine.networks.unet import capabilities as unet
from runners.engine.networks.yolo_v3 import capabilities as yolo_v3
from runners.engine.networks.yolo_v4 import capabilities as yolo_v4
from runners.engine.networks.yolo_v4_tiny import capabilities as yolo_v4_tiny
from taod import installed, program
from taod.documents import Document

OFFERS: dict[str, Offer] = {
    "classification_pyt": classification_pyt.OFFER,
    "classification_tf1": classification_tf1.OFFER,
    "classification_tf2": classification_tf2.OFFER,
    "detectnet_v2": detectnet_v2.OFFER,
    "dssd": dssd.OFFER,
    "efficientdet_tf1": efficientdet_tf1.OFFER,
    "efficientdet_tf2": efficientdet_tf2.OFFER,
    "faster_rcnn": faster_rcnn.OFFER,
    "mask_rcnn": mask_rcnn.OFFER,
    "multitask_classification": multitask_classification.OFFER,
    "retinanet": retinanet.OFFER,
    "segformer": segformer.OFFER,
    "ssd": ssd.OFFER,
    "unet": unet.OFFER,
    "yolo_v3": yolo_v3.OFFER,
    "yolo_v4": yolo_v4.OFFER,
    "yolo_v4_tiny": yolo_v4_tiny.OFFER,
}

NETWORKS: dict[str, tuple[str, ...]] = {
    **{name: tuple(line.actions) for name, line in OFFERS.items()},
    **{name: tuple(actions) for name, actions in data.SERVICES.items()},
}
"""Network or data service → actions."""

MODULES = frozenset(
    module
    for actions in (*(line.actions for line in OFFERS.values()), *data.SERVICES.values())
    for modules in actions.values()
    for module in modules
)
"""All that some action needs."""
OWN = "this executable" if program.FROZEN else "this Python"
NAME_IT = "and name its Python in runner.embedded.python"
"""How the executable, which has no engine, gets one."""

WITHOUT_TORCH = frozenset(data.SERVICES)
"""What works where only the core is installed."""

BACKBONES: dict[str, tuple[str, ...]] = {"classification_pyt": classification_pyt.BACKBONES}
"""Network → values of `model.backbone.type`."""


def can(
    network: str,
    action: str,
    spec: Document | None = None,
    *,
    python: str = "",
    has: Callable[[str], bool] = lambda module: find_spec(module) is not None,
) -> tuple[bool, str, str]:
    """Whether the engine can do this: (able, reason, remedy). Without `spec`: in general.

    `spec` is the whole document as the run will get it, defaults filled in. `has` reports whether the run's
    interpreter has a module; `python` names that interpreter, if it is not this one.
    """
    if network in data.UNSUPPORTED:
        return False, *data.UNSUPPORTED[network]
    if network not in NETWORKS:
        have = ", ".join(NETWORKS)
        return False, f"The embedded engine has no network '{network}'; it has {have}.", _OTHER_RUNNER
    if action not in NETWORKS[network]:
        have = ", ".join(NETWORKS[network])
        return False, f"The embedded engine cannot {action} {network}; it can {have}.", _OTHER_RUNNER
    actions = data.SERVICES[network] if network in data.SERVICES else OFFERS[network].actions
    missing = [module for module in actions[action] if not has(module)]
    if missing:
        reason = f"The embedded engine needs {', '.join(missing)}, which {python or OWN} lacks."
        extra = "data" if network in data.SERVICES else "engine"
        if python:
            return False, reason, f"{python} -m pip install 'taod[{extra}]'"
        return False, reason, installed.add(extra, then=NAME_IT)
    if spec is None:
        return True, "", ""
    try:
        if network in data.SERVICES:
            data.check(network, action, spec)
        else:
            offer.validate(OFFERS[network], network, action, spec)
    except SpecError as error:
        return False, str(error), f"change that in the specification of {action}"
    return True, "", ""


def offered(network: str, action: str) -> bool:
    """Whether the engine has the action of a network; its libraries may be missing."""
    return action in NETWORKS.get(network, ())


def warnings(network: str, action: str, spec: Document) -> list[str]:
    """A sentence for each parameter that was set and has no effect."""
    return offer.warnings(OFFERS[network], network, action, spec) if network in OFFERS else []


def module(service: str, action: str) -> str:
    """The module whose `run` does an action of a data service."""
    return f"runners.engine.data.{data.MODULES[service, action]}"


_OTHER_RUNNER = "Configure another runner for it in taod.toml ([runner] order and [[runner.rule]])."
