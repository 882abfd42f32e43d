"""What the engine offers for yolo_v4_tiny, as plain data. No heavy imports."""

from __future__ import annotations

from runners.engine.detection import offers
from runners.engine.detection.settings import Yolo, YoloConfig


class Spec(Yolo, frozen=True, kw_only=True):
    yolov4_config: YoloConfig = YoloConfig()

    @property
    def config(self) -> YoloConfig:
        return self.yolov4_config


OFFER = offers.tf1(
    Spec,
    "a pyramid on timm's cs3darknet_s or another backbone; the tool's CSPDarkNet-tiny is narrower",
    prunes=False,
)
