"""YOLOv4 as a network of the engine."""

from __future__ import annotations

from runners.engine.detection.yolo_networks import YoloNetwork
from runners.engine.networks.yolo_v4.capabilities import Spec


class YoloV4(YoloNetwork[Spec]):
    name = "yolo_v4"
    spec_type = Spec


NETWORK = YoloV4()
