"""What the engine offers for dssd, as plain data. No heavy imports."""

from __future__ import annotations

from runners.engine.detection import offers
from runners.engine.detection.settings import AnchorConfig, Anchored


class Spec(Anchored, frozen=True, kw_only=True):
    dssd_config: AnchorConfig = AnchorConfig()

    @property
    def config(self) -> AnchorConfig:
        return self.dssd_config


OFFER = offers.tf1(
    Spec,
    "the paper's deconvolution and prediction modules over ssd's levels on timm's backbones, of other widths",
)
