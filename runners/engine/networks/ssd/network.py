"""SSD as a network of the engine."""

from __future__ import annotations

from runners.engine.detection.anchored import AnchoredNetwork
from runners.engine.networks.ssd.capabilities import Spec


class Ssd(AnchoredNetwork[Spec]):
    name = "ssd"
    spec_type = Spec


NETWORK = Ssd()
