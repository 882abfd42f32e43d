"""Detectors in two stages (Ren et al. 2015, arXiv:1506.01497): a network proposes regions, and heads say the class and
the box of each. The heads are torchvision's; proposals have a fixed number a batch, so that all of it can be exported.

Images come normalised as [n, 3, height, width]; boxes are edges in pixels of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import torch
from torch import nn

from runners.engine.detection import anchors, backbones, nms, regions
from runners.engine.detection.backbones import Backbone
from runners.engine.detection.nms import Detector, Nms, Target
from runners.engine.detection.torchvision_ops import (
    FastRCNNPredictor,
    FeaturePyramidNetwork,
    RPNHead,
    TwoMLPHead,
    box_iou,
)

BETA = 1 / 9
"""Where the smooth L1 loss of box codes turns linear, as torchvision has it."""
Pairs = list[tuple[float, float]]


class ProposalSettings(msgspec.Struct, frozen=True):
    """Proposals of an image: `before` NMS with its IoU (of each level), `after` it, of at least `smallest` pixels."""

    before: int
    after: int
    iou: float
    smallest: float = 0.0


class ProposalTraining(msgspec.Struct, frozen=True, kw_only=True):
    """How the first stage is trained: IoU of objects and of background, anchors of an image that count."""

    asked: ProposalSettings
    positive: float
    negative: float
    batch: int
    share: float = 0.5
    """Of positive anchors, at most."""
    class_weight: float = 1.0
    box_weight: float = 1.0
    scaling: float = 1.0
    """Of the box codes."""


class RegionTraining(msgspec.Struct, frozen=True, kw_only=True):
    """How the second stage is built and trained. Background has an IoU from `low` up to `high`."""

    positive: float
    low: float
    high: float
    batch: int
    share: float
    truths: bool
    """Whether objects themselves are among the proposals."""
    pool: int
    hidden: int = 1024
    dropout: float = 0.0
    codes: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    """Factors of the box codes."""
    class_weight: float = 1.0
    box_weight: float = 1.0


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A detector's shape and its loss, as its frame keeps it."""

    backbone: str
    classes: int
    strides: list[int]
    """Of the features that the backbone gives."""
    width: int | None = None
    """Channels of the pyramid over them, which has one level more; None: there is none."""
    anchors: list[Pairs]
    """(width, height) in pixels, a level."""
    freeze_blocks: list[int] = []
    freeze_bn: bool = False
    proposals: ProposalTraining
    regions: RegionTraining


class SampledRegions(NamedTuple):
    """Regions of a batch that the heads learn from: boxes [n, k, 4], labels [n, k] (0 background, -1 not counted), and
    the object of each [n, k]."""

    boxes: torch.Tensor
    labels: torch.Tensor
    objects: torch.Tensor


class Pyramid(nn.Module):
    """torchvision's feature pyramid with one level more, of half the size of the last."""

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.pyramid = FeaturePyramidNetwork(channels, width)

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        levels = list(self.pyramid({str(place): level for place, level in enumerate(features)}).values())
        return [*levels, nn.functional.max_pool2d(levels[-1], 1, 2)]


class TwoStage(Detector):
    """The whole detector for inputs of one size."""

    anchors: torch.Tensor

    def __init__(self, shape: Shape, height: int, width: int) -> None:
        super().__init__()
        self.backbone = Backbone(shape.backbone, shape.strides)
        self.pyramid = None if shape.width is None else Pyramid(self.backbone.channels, shape.width)
        channels = self.backbone.channels[-1] if shape.width is None else shape.width
        strides = shape.strides if shape.width is None else [*shape.strides, shape.strides[-1] * 2]
        placed = [
            anchors.grid(math.ceil(height / stride), math.ceil(width / stride), pairs, (stride, stride))
            for stride, pairs in zip(strides, shape.anchors, strict=True)
        ]
        self.register_buffer("anchors", torch.cat(placed), persistent=False)
        self.counts = [len(one) for one in placed]
        self.proposer = RPNHead(channels, len(shape.anchors[0]))
        self.head = TwoMLPHead(channels * shape.regions.pool**2, shape.regions.hidden)
        self.dropout = nn.Dropout(shape.regions.dropout)
        self.predictor = FastRCNNPredictor(shape.regions.hidden, shape.classes + 1)
        backbones.freeze(self.backbone, shape.freeze_blocks, norms=shape.freeze_bn)
        self.shape, self.size = shape, (height, width)
        scaling = shape.proposals.scaling
        self._first = anchors.coder([1 / scaling] * 4)
        self._second = anchors.coder([1 / factor for factor in shape.regions.codes])

    def levels(self, images: torch.Tensor) -> list[torch.Tensor]:
        found: list[torch.Tensor] = self.backbone(images)
        return found if self.pyramid is None else self.pyramid(found)

    def align(self, levels: Sequence[torch.Tensor], boxes: torch.Tensor, size: int) -> torch.Tensor:
        """Features of boxes [n, m, 4]: [n, m, channels, size, size]."""
        strides = self.shape.strides
        return regions.align(levels[: len(strides)], boxes, size, strides)

    def proposal_outputs(self, levels: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """What the first stage says of each anchor: [n, anchors] before the sigmoid, codes [n, anchors, 4]."""
        scores, codes = self.proposer(list(levels))
        return (
            torch.cat([one.permute(0, 2, 3, 1).flatten(1) for one in scores], dim=1),
            torch.cat([one.permute(0, 2, 3, 1).reshape(one.shape[0], -1, 4) for one in codes], dim=1),
        )

    def decoded(self, codes: torch.Tensor) -> torch.Tensor:
        """The boxes that the first stage puts in the anchors' place: [n, anchors, 4]."""
        return anchors.decode(codes, self.anchors, self._first)

    def propose(
        self, scores: torch.Tensor, codes: torch.Tensor, asked: ProposalSettings
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Proposals: boxes [n, after, 4] and scores [n, after], both 0 where there are fewer."""
        places, kinds, start = [], [], 0
        for level, count in enumerate(self.counts):
            best = scores[:, start : start + count].topk(min(asked.before, count), dim=1).indices + start
            places.append(best)
            kinds += [level] * best.shape[1]
            start += count
        place = torch.cat(places, dim=1)
        boxes = self.clipped(
            anchors.decode(codes.gather(1, place[..., None].expand(-1, -1, 4)), self.anchors[place], self._first)
        )
        chances = scores.gather(1, place).sigmoid()
        sides = boxes[..., 2:] - boxes[..., :2]
        chances = chances * (sides.amin(dim=-1) >= max(asked.smallest, 1e-3))
        of_level = nn.functional.one_hot(torch.tensor(kinds, device=boxes.device), len(self.counts))
        rows = nms.select_rows(boxes.float(), chances.float()[..., None] * of_level, 0.0, asked.iou, asked.after)
        return rows[1], rows[2]

    def clipped(self, boxes: torch.Tensor) -> torch.Tensor:
        height, width = self.size
        return boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))

    def classified_regions(
        self, levels: Sequence[torch.Tensor], boxes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the second stage says of boxes [n, m, 4]: classes [n, m, 1 + classes] before the softmax, the
        background first, and codes [n, m, 1 + classes, 4]."""
        pooled = self.align(levels, boxes, self.shape.regions.pool)
        scores, codes = self.predictor(self.dropout(self.head(pooled.flatten(0, 1))))
        batch, count = boxes.shape[:2]
        return scores.reshape(batch, count, -1), codes.reshape(batch, count, -1, 4)

    def candidates(self, levels: Sequence[torch.Tensor], boxes: torch.Tensor, scores: torch.Tensor) -> nms.Candidates:
        """The best boxes of proposals: each is of one class."""
        kinds, codes = self.classified_regions(levels, boxes)
        chances = kinds.softmax(dim=-1)[..., 1:] * (scores > 0)[..., None]
        decoded = self.clipped(anchors.decode(codes[:, :, 1:], boxes[:, :, None], self._second))
        classes = chances.shape[-1]
        best = chances.flatten(1).topk(min(nms.CANDIDATES, boxes.shape[1] * classes), dim=1)
        kind = nn.functional.one_hot(best.indices % classes, classes)
        found = decoded.flatten(1, 2).gather(1, best.indices[..., None].expand(-1, -1, 4))
        return found, best.values[..., None] * kind

    def losses(self, images: torch.Tensor, targets: Sequence[Target]) -> dict[str, torch.Tensor]:
        levels = self.levels(images)
        scores, codes = self.proposal_outputs(levels)
        with torch.no_grad():
            found = self.propose(scores.detach(), codes.detach(), self.shape.proposals.asked)
            regions = self.sample(*found, targets)
        return self.first_loss(scores, codes, targets) | self.second_loss(levels, regions, targets)

    def first_loss(
        self, scores: torch.Tensor, codes: torch.Tensor, targets: Sequence[Target]
    ) -> dict[str, torch.Tensor]:
        """Of anchors that are drawn at random, as many of each image."""
        how = self.shape.proposals
        kinds, boxes, count = scores.new_zeros(()), scores.new_zeros(()), 0
        for own, code, target in zip(scores, codes, targets, strict=True):
            found = anchors.match(target.boxes, self.anchors, how.positive, how.negative)
            positive, negative = sample_rows(found >= 0, found == -1, how.batch, how.share)
            both = torch.cat([positive, negative])
            wanted = self._first.encode_single(target.boxes[found[positive]], self.anchors[positive])
            boxes = boxes + nn.functional.smooth_l1_loss(code[positive], wanted, reduction="sum", beta=BETA)
            labels = (found[both] >= 0).to(own.dtype)
            kinds = kinds + nn.functional.binary_cross_entropy_with_logits(own[both], labels, reduction="sum")
            count += len(both)
        return {
            "proposal": kinds * how.class_weight / max(1, count),
            "proposal_boxes": boxes * how.box_weight / max(1, count),
        }

    def sample(self, boxes: torch.Tensor, scores: torch.Tensor, targets: Sequence[Target]) -> SampledRegions:
        """Proposals drawn at random to learn from, as many of each image; where there are fewer, the rest does not
        count."""
        how = self.shape.regions
        out = SampledRegions(
            boxes.new_zeros(len(targets), how.batch, 4),
            torch.full((len(targets), how.batch), -1, dtype=torch.long, device=boxes.device),
            torch.zeros(len(targets), how.batch, dtype=torch.long, device=boxes.device),
        )
        for place, target in enumerate(targets):
            own = boxes[place][scores[place] > 0]
            if how.truths:
                own = torch.cat([own, target.boxes.to(own.dtype)])
            if len(target.boxes):
                best, which = box_iou(target.boxes.to(own.dtype), own).max(dim=0)
            else:
                best, which = own.new_zeros(len(own)), torch.zeros(len(own), dtype=torch.long, device=own.device)
            positive, negative = sample_rows(
                best >= how.positive, (best < how.high) & (best >= how.low), how.batch, how.share
            )
            both = torch.cat([positive, negative])
            count, few = len(both), len(positive)
            out.boxes[place, :count], out.objects[place, :count] = own[both], which[both]
            out.labels[place, :count] = 0
            out.labels[place, :few] = target.labels[which[positive]] + 1
        return out

    def second_loss(
        self, levels: Sequence[torch.Tensor], sampled: SampledRegions, targets: Sequence[Target]
    ) -> dict[str, torch.Tensor]:
        how = self.shape.regions
        kinds, codes = self.classified_regions(levels, sampled.boxes)
        counted = max(1, int((sampled.labels >= 0).sum()))
        loss = nn.functional.cross_entropy(
            kinds.flatten(0, 1), sampled.labels.flatten(), ignore_index=-1, reduction="sum"
        )
        boxes = codes.new_zeros(())
        for place, target in enumerate(targets):
            positive = sampled.labels[place] > 0
            own = codes[place][positive, sampled.labels[place][positive]]
            objects = target.boxes[sampled.objects[place][positive]]
            wanted = self._second.encode_single(objects, sampled.boxes[place][positive])
            boxes = boxes + nn.functional.smooth_l1_loss(own, wanted, reduction="sum", beta=BETA)
        return {"classes": loss * how.class_weight / counted, "boxes": boxes * how.box_weight / counted}


def sample_rows(
    positive: torch.Tensor, negative: torch.Tensor, count: int, share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Places of at most `count` rows at random, of the positive ones at most `share` of it."""
    high, low = positive.nonzero()[:, 0], negative.nonzero()[:, 0]
    high = high[torch.randperm(len(high), device=high.device)[: int(count * share)]]
    return high, low[torch.randperm(len(low), device=low.device)[: count - len(high)]]


PROBES = ("proposal_boxes", "proposal_scores", "region_scores", "region_codes")
"""What both stages say, which an export compares with torch: of all anchors, and of fixed regions, since of proposals
with nearly equal scores NMS keeps one or the other."""


class ProposingDetector(Detector):
    """A detector with the proposals that an action asks for."""

    fixed: torch.Tensor

    def __init__(self, model: TwoStage, asked: ProposalSettings) -> None:
        super().__init__()
        self.model, self._asked = model, asked
        height, width = model.size
        edges = [(0.1, 0.1, 0.5, 0.6), (0.3, 0.2, 0.9, 0.7), (0.0, 0.5, 0.4, 1.0), (0.6, 0.6, 0.8, 0.9)]
        self.register_buffer("fixed", torch.tensor(edges) * torch.tensor([width, height, width, height]), False)

    def detect(self, images: torch.Tensor) -> nms.Candidates:
        levels = self.model.levels(images)
        return self.model.candidates(levels, *self.model.propose(*self.model.proposal_outputs(levels), self._asked))

    def probe(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.candidates_and_probes(self.model.levels(images))

    def candidates_and_probes(self, levels: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The candidates, and `PROBES`."""
        model = self.model
        scores, codes = model.proposal_outputs(levels)
        found = model.candidates(levels, *model.propose(scores, codes, self._asked))
        judged = model.classified_regions(levels, self.fixed[None].expand(levels[0].shape[0], -1, -1))
        return (*found, model.decoded(codes), scores.sigmoid(), *judged)


def selecting(model: nn.Module, asked: ProposalSettings, wanted: Nms) -> nms.DetectorWithNms:
    """The detector as an action asks it."""
    assert isinstance(model, TwoStage)
    return nms.DetectorWithNms(ProposingDetector(model, asked), wanted)
