"""DSSD as a network of the engine."""

from __future__ import annotations

from runners.engine.detection.anchored import AnchoredNetwork
from runners.engine.networks.dssd.capabilities import Spec


class Dssd(AnchoredNetwork[Spec]):
    name = "dssd"
    spec_type = Spec


NETWORK = Dssd()
