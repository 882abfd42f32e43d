"""The model of Mask R-CNN (He et al. 2017, arXiv:1703.06870): a two-stage detector whose heads draw masks, too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from runners.engine.detection import masks, nms, two_stage
from runners.engine.detection.nms import Nms, Target
from runners.engine.detection.torchvision_ops import MaskRCNNHeads, MaskRCNNPredictor
from runners.engine.detection.two_stage import ProposalSettings, ProposingDetector, SampledRegions, Shape, TwoStage

LAYERS = (256, 256, 256, 256)
OUTPUTS = (*nms.OUTPUTS, "nmsed_masks")
"""The last: chances float32 [batch, keep, side, side] over each box."""
PROBES = (*two_stage.PROBES, "region_masks")


class MaskShape(Shape, frozen=True, kw_only=True):
    side: int
    """Of a mask."""
    mask_weight: float


class MaskRcnn(TwoStage):
    """`TwoStage` with masks of `shape.side`."""

    shape: MaskShape

    def __init__(self, shape: MaskShape, height: int, width: int) -> None:
        super().__init__(shape, height, width)
        assert shape.width is not None
        self.mask_head = MaskRCNNHeads(shape.width, LAYERS, 1)
        self.mask_predictor = MaskRCNNPredictor(LAYERS[-1], 256, shape.classes)

    def masks_of(self, levels: Sequence[torch.Tensor], boxes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Masks of boxes [n, m, 4] for their classes [n, m] (from 0), before the sigmoid: [n, m, side, side]."""
        side = self.shape.side
        pooled = self.align(levels, boxes, side // 2).flatten(0, 1)
        found: torch.Tensor = self.mask_predictor(self.mask_head(pooled))
        place = labels.reshape(-1, 1, 1, 1).expand(-1, 1, side, side)
        return found.gather(1, place).reshape(boxes.shape[0], boxes.shape[1], side, side)

    def second_loss(
        self, levels: Sequence[torch.Tensor], sampled: SampledRegions, targets: Sequence[Target]
    ) -> dict[str, torch.Tensor]:
        found = super().second_loss(levels, sampled, targets)
        most = max(1, int((sampled.labels > 0).sum(dim=1).max()))  # objects come first
        boxes, labels = sampled.boxes[:, :most], sampled.labels[:, :most]
        logits = self.masks_of(levels, boxes, (labels - 1).clamp(min=0))
        loss, count = logits.sum() * 0, 0
        for place, target in enumerate(targets):
            assert target.masks is not None
            own = (labels[place] > 0).nonzero()[:, 0]
            which = sampled.objects[place, own]
            known = target.masks[which, 0, 0] != masks.UNKNOWN
            own, which = own[known], which[known]
            wanted = masks.targets(target.masks[which], target.boxes[which], boxes[place, own], self.shape.side)
            each = nn.functional.binary_cross_entropy_with_logits(logits[place, own].float(), wanted, reduction="none")
            loss, count = loss + each.mean(dim=(1, 2)).sum(), count + len(own)
        return found | {"masks": loss * self.shape.mask_weight / max(1, count)}


class MaskingDetector(nms.DetectorWithNms):
    """The detector with its NMS and the masks of what is detected: images to `OUTPUTS`."""

    def __init__(self, model: MaskRcnn, asked: ProposalSettings, wanted: Nms) -> None:
        super().__init__(ProposingDetector(model, asked), wanted)
        self.model, self._asked = model, asked

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
        levels = self.model.levels(images)
        proposals = self.model.propose(*self.model.proposal_outputs(levels), self._asked)
        return self.masks_of(levels, self.select(*self.model.candidates(levels, *proposals)))

    def masks_of(self, levels: Sequence[torch.Tensor], rows: nms.Rows) -> tuple[torch.Tensor, ...]:
        counts, boxes, scores, classes = rows
        kept, exporting = boxes.shape[1], torch.compiler.is_exporting()
        count = kept if exporting else int(counts.max())
        side = self.model.shape.side
        found = boxes.new_zeros(boxes.shape[0], 0, side, side)
        if count:
            found = self.model.masks_of(levels, boxes[:, :count], classes[:, :count].long()).sigmoid()
            found = found * (scores[:, :count] > 0)[..., None, None]
        return (*rows, found if exporting else nn.functional.pad(found, (0, 0, 0, 0, 0, kept - count)))


class ProbedMaskDetector(nn.Module):
    """`Drawing` with what an export compares: `PROBES` of fixed regions beside those of the detector."""

    def __init__(self, drawing: MaskingDetector) -> None:
        super().__init__()
        self.drawing = drawing

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        model, detector = self.drawing.model, self.drawing.detector
        assert isinstance(detector, ProposingDetector)
        levels = model.levels(images)
        boxes, scores, *probes = detector.candidates_and_probes(levels)
        fixed = detector.fixed[None].expand(images.shape[0], -1, -1)
        first = torch.zeros(fixed.shape[:2], dtype=torch.long, device=fixed.device)
        rows = self.drawing.select(boxes, scores)
        return (*self.drawing.masks_of(levels, rows), *probes, model.masks_of(levels, fixed, first))
