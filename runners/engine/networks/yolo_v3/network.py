"""YOLOv3 as a network of the engine."""

from __future__ import annotations

from runners.engine.detection.yolo_networks import YoloNetwork
from runners.engine.networks.yolo_v3.capabilities import Spec


class YoloV3(YoloNetwork[Spec]):
    name = "yolo_v3"
    spec_type = Spec


NETWORK = YoloV3()
