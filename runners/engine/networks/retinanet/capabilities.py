"""What the engine offers for retinanet, as plain data. No heavy imports."""

from __future__ import annotations

from runners.engine.core.offer import Offer
from runners.engine.detection import offers
from runners.engine.detection.settings import AnchorConfig, Anchored


class Spec(Anchored, frozen=True, kw_only=True):
    retinanet_config: AnchorConfig = AnchorConfig()

    @property
    def config(self) -> AnchorConfig:
        return self.retinanet_config


OFFER = Offer(
    spec=Spec,
    actions=offers.ACTIONS,
    without_effect=offers.TF1_WITHOUT_EFFECT,
    rejected=offers.TF1_REJECTED,
    only=offers.TF1_ONLY,
    similar="torchvision's pyramid with batch norms in the heads, on timm's backbones",
)
