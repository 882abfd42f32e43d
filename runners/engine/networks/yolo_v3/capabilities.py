"""What the engine offers for yolo_v3, as plain data. No heavy imports."""

from __future__ import annotations

from runners.engine.detection import offers
from runners.engine.detection.settings import Yolo, YoloConfig


class Spec(Yolo, frozen=True, kw_only=True):
    yolov3_config: YoloConfig = YoloConfig()

    @property
    def config(self) -> YoloConfig:
        return self.yolov3_config


OFFER = offers.tf1(
    Spec,
    "a pyramid of convolutions on timm's backbones, complete IoU for boxes; the tool's blocks are deeper",
)
