"""What the engine offers for ssd, as plain data. No heavy imports."""

from __future__ import annotations

from runners.engine.detection import offers
from runners.engine.detection.settings import AnchorConfig, Anchored


class Spec(Anchored, frozen=True, kw_only=True):
    ssd_config: AnchorConfig = AnchorConfig()

    @property
    def config(self) -> AnchorConfig:
        return self.ssd_config


OFFER = offers.tf1(
    Spec,
    "the paper's extra levels and multibox loss on timm's backbones; the tool's extra levels have other widths",
)
