"""YOLOv4-tiny as a network of the engine."""

from __future__ import annotations

from runners.engine.detection.yolo_networks import YoloNetwork
from runners.engine.networks.yolo_v4_tiny.capabilities import Spec


class YoloV4Tiny(YoloNetwork[Spec]):
    name = "yolo_v4_tiny"
    spec_type = Spec


NETWORK = YoloV4Tiny()
