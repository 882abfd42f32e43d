"""What the engine offers for ssd, as plain data. No heavy imports."""

from __future__ import annotations

from runners.engine.core.offer import Offer
from runners.engine.detection import offers
from runners.engine.detection.settings import AnchorConfig, Anchored


class Spec(Anchored, frozen=True, kw_only=True):
    ssd_config: AnchorConfig = AnchorConfig()

    @property
    def config(self) -> AnchorConfig:
        return self.ssd_config


OFFER = Offer(
    spec=Spec,
    actions=offers.ACTIONS,
    without_effect=offers.TF1_WITHOUT_EFFECT,
    rejected=offers.TF1_REJECTED,
    only=offers.TF1_ONLY,
    similar="the paper's extra levels and multibox loss on timm's backbones; the tool's extra levels have other widths",
)
