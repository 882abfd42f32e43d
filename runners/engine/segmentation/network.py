"""What the segmentation networks have in common on the core."""

from __future__ import annotations

from pathlib import Path
from typing import Generic

import torch

from runners.engine.core.network import Frame, Network, S
from runners.engine.core.pixels import scaled
from runners.engine.segmentation.data import Batch, Fit, Palette
from runners.engine.segmentation.score import MaskScore, MaskWriter
from taod.documents import Document


class MaskFrame(Frame, frozen=True, kw_only=True):
    """Of a segmenter: its backbone, how images come to it, and its classes."""

    backbone: str
    fit: Fit
    palette: Palette
    mean: list[float]
    std: list[float]
    """On the 0-255 scale."""
    options: dict[str, bool] = {}  # noqa: RUF012  copied by msgspec
    """Further choices that the model's shape depends on."""

    def fixed(self) -> Document:
        found = super().fixed()
        return {name: value for name, value in found.items() if name not in ("mean", "std")}


class Segmentation(Network[S, MaskFrame, Batch], Generic[S]):
    frame_type = MaskFrame
    output_names = ("logits",)
    verb = "segmented"

    def inputs(self, data: Batch, frame: MaskFrame) -> tuple[torch.Tensor, ...]:
        return (scaled(data.pixels, frame.mean, frame.std),)

    def values(self, score: MaskScore, *, training: bool) -> dict[str, float]:
        """The KPIs by the names of the tool."""
        raise NotImplementedError

    def score(self, spec: S, frame: MaskFrame, *, training: bool) -> MaskScore:
        def kpi(score: MaskScore) -> dict[str, float]:
            return self.values(score, training=training)

        return MaskScore(frame.classes, frame.fit, kpi, losses=training)

    def writer(self, spec: S, frame: MaskFrame, folder: Path) -> MaskWriter:
        return MaskWriter(folder, frame.palette.colours(), frame.fit)

    def input_size(self, frame: MaskFrame) -> tuple[int, int, int]:
        return frame.fit.channels, frame.fit.height, frame.fit.width

    def metadata(self, frame: MaskFrame, spec: S) -> Document:
        return {"mean": frame.mean, "std": frame.std, "palette": frame.palette.colours(), "fit": frame.fit}
