"""From candidate boxes and scores to detections, in torch and as the same operators of an ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import torch
from torch import nn

from runners.engine.detection.torchvision_ops import batched_nms

CANDIDATES = 1000
"""Boxes of an image that NMS compares: those with the best scores."""


class Nms(msgspec.Struct, frozen=True):
    """Confidence that a detection needs, IoU that two of a class may have, and the number kept of an image."""

    confidence: float
    iou: float
    keep: int


class Selected(msgspec.Struct, frozen=True):
    """Detections of an image in pixels of the network's input, best first."""

    boxes: torch.Tensor
    scores: torch.Tensor
    classes: torch.Tensor


def candidates(boxes: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The `CANDIDATES` best of boxes [batch, n, 4] by their best class's score [batch, n, classes]."""
    if boxes.shape[1] <= CANDIDATES:
        return boxes, scores
    best = scores.amax(dim=2).topk(CANDIDATES, dim=1).indices[..., None]
    return boxes.gather(1, best.expand(-1, -1, 4)), scores.gather(1, best.expand(-1, -1, scores.shape[2]))


def select(boxes: torch.Tensor, scores: torch.Tensor, wanted: Nms) -> list[Selected]:
    """Detections of each image of a batch: boxes [batch, n, 4], scores [batch, n, classes]."""
    found = []
    for own, chances in zip(boxes, scores, strict=True):
        place, kind = (chances > wanted.confidence).nonzero(as_tuple=True)
        value = chances[place, kind]
        kept = batched_nms(own[place], value, kind, wanted.iou)[: wanted.keep]
        found.append(Selected(own[place][kept], value[kept], kind[kept]))
    return found


OUTPUTS = ("num_detections", "nmsed_boxes", "nmsed_scores", "nmsed_classes")
"""int32 [batch, 1]; float32 [batch, keep, 4] as edges, best first; [batch, keep]; [batch, keep]. Rows after the number
of detections are 0. These are the outputs of TensorRT's BatchedNMS."""

PROBES = ("candidate_boxes", "candidate_scores")
"""What NMS chooses from, which an export compares with torch: of boxes with nearly equal scores NMS keeps one or the
other."""

Candidates = tuple[torch.Tensor, torch.Tensor]
Rows = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


@torch.library.custom_op("taod::select", mutates_args=())
def select_rows(boxes: torch.Tensor, scores: torch.Tensor, confidence: float, iou: float, keep: int) -> Rows:
    """`select` with its result in `OUTPUTS`."""
    batch = len(boxes)
    counts = torch.zeros(batch, 1, dtype=torch.int32, device=boxes.device)
    edges = boxes.new_zeros(batch, keep, 4, dtype=torch.float32)
    values = boxes.new_zeros(batch, keep, dtype=torch.float32)
    kinds = boxes.new_zeros(batch, keep, dtype=torch.float32)
    for place, found in enumerate(select(boxes, scores, Nms(confidence, iou, keep))):
        number = len(found.scores)
        counts[place] = number
        edges[place, :number], values[place, :number] = found.boxes.float(), found.scores.float()
        kinds[place, :number] = found.classes.float()
    return counts, edges, values, kinds


@select_rows.register_fake
def _(boxes: torch.Tensor, scores: torch.Tensor, confidence: float, iou: float, keep: int) -> Rows:
    batch = boxes.shape[0]
    counts = boxes.new_empty(batch, 1, dtype=torch.int32)
    edges = boxes.new_empty(batch, keep, 4, dtype=torch.float32)
    return (
        counts,
        edges,
        boxes.new_empty(batch, keep, dtype=torch.float32),
        boxes.new_empty(batch, keep, dtype=torch.float32),
    )


class DetectorWithNms(nn.Module):
    """A detector with its NMS: images to `OUTPUTS`."""

    def __init__(self, detector: Detector, wanted: Nms) -> None:
        super().__init__()
        self.detector, self._wanted = detector, wanted

    def forward(self, images: torch.Tensor) -> Rows:
        return self.select(*self.detector.detect(images))

    def select(self, boxes: torch.Tensor, scores: torch.Tensor) -> Rows:
        boxes, scores = candidates(boxes, scores)
        wanted = self._wanted
        found: Rows = select_rows(boxes.float(), scores.float(), wanted.confidence, wanted.iou, wanted.keep)
        return found


class ProbedDetector(nn.Module):
    """A detector with its NMS: images to `OUTPUTS` and what the detector is compared by."""

    def __init__(self, selecting: DetectorWithNms) -> None:
        super().__init__()
        self.selecting = selecting

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        boxes, scores, *probes = self.selecting.detector.probe(images)
        return (*self.selecting.select(boxes, scores), *probes)


class Detector(nn.Module):
    """A model that detects."""

    def detect(self, images: torch.Tensor) -> Candidates:
        """The candidates of normalised images [n, 3, height, width]: boxes [n, m, 4] as edges in pixels, scores
        [n, m, classes]."""
        raise NotImplementedError

    def predict(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """What the last layers answer for normalised images."""
        raise NotImplementedError

    def last(self) -> list[nn.Module]:
        """The layers whose outputs `predict` returns."""
        raise NotImplementedError

    def probe(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The candidates, and what an export compares with torch: the candidates again."""
        boxes, scores = self.detect(images)
        return boxes, scores, boxes, scores

    def losses(self, images: torch.Tensor, targets: Sequence[Target]) -> dict[str, torch.Tensor]:
        """The parts of the loss, each a mean over the batch."""
        raise NotImplementedError

    def forward(self, images: torch.Tensor, targets: Sequence[Target]) -> dict[str, torch.Tensor]:
        """`losses`, as a wrapper for several processes calls it."""
        return self.losses(images, targets)


class PredictionHead(nn.Module):
    """A detector whose forward pass is `predict`."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        return self.detector.predict(images)


class Target(NamedTuple):
    """The objects of an image: boxes [n, 4] and labels [n]; where masks are learnt, uint8 [n, side, side] within their
    boxes, up to 254 inside, all of an unknown one 255."""

    boxes: torch.Tensor
    labels: torch.Tensor
    masks: torch.Tensor | None = None
