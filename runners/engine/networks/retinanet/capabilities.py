"""What the engine offers for retinanet, as plain data. No heavy imports."""

from __future__ import annotations

from runners.engine.detection import offers
from runners.engine.detection.settings import AnchorConfig, Anchored


class Spec(Anchored, frozen=True, kw_only=True):
    retinanet_config: AnchorConfig = AnchorConfig()

    @property
    def config(self) -> AnchorConfig:
        return self.retinanet_config


OFFER = offers.tf1(
    Spec,
    "torchvision's pyramid with batch norms in the heads, on timm's backbones",
)
