"""RetinaNet as a network of the engine."""

from __future__ import annotations

from runners.engine.detection.anchored import AnchoredNetwork
from runners.engine.networks.retinanet.capabilities import Spec


class RetinaNet(AnchoredNetwork[Spec]):
    name = "retinanet"
    spec_type = Spec


NETWORK = RetinaNet()
