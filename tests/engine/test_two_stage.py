"""The parts of two-stage detectors against independent computations: features of regions, and what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from runners.engine.core import weights  # noqa: E402
from runners.engine.detection import regions, two_stage  # noqa: E402
from runners.engine.detection.nms import Target  # noqa: E402
from runners.engine.detection.two_stage import ProposalSettings, ProposalTraining, RegionTraining, Shape, TwoStage  # noqa: E402

pytestmark = pytest.mark.engine


def _bilinear(plane: np.ndarray, x: float, y: float) -> float:
    """The value at a point in units of cells, middles at whole numbers; beyond the edge it is the edge's."""
    height, width = plane.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    across, down = x - left, y - top
    upper = plane[top, left] * (1 - across) + plane[top, left + 1] * across
    lower = plane[top + 1, left] * (1 - across) + plane[top + 1, left + 1] * across
    return float(upper * (1 - down) + lower * down)


def _pooled(plane: np.ndarray, box: list[float], size: int, stride: int) -> np.ndarray:
    """RoI align by its definition: the mean of 2 x 2 points a cell."""
    left, top, right, bottom = (edge / stride for edge in box)
    found = np.zeros((size, size))
    steps = size * 2
    for row in range(steps):
        for column in range(steps):
            x = left + (column + 0.5) / steps * (right - left) - 0.5
            y = top + (row + 0.5) / steps * (bottom - top) - 0.5
            found[row // 2, column // 2] += _bilinear(plane, x, y) / 4
    return found


def test_features_of_regions_equal_their_definition_on_the_level_of_each_box() -> None:
    random = np.random.default_rng(3)
    strides = [4, 8]
    levels = [torch.tensor(random.normal(size=(2, 3, 256 // stride, 256 // stride))).float() for stride in strides]
    boxes = torch.tensor(
        [[[3.0, 5, 40, 31], [0, 0, 256, 256]], [[200, 100, 256, 240], [10.5, 7.25, 12, 9]]], dtype=torch.float32
    )

    found = regions.align(levels, boxes, 3, strides)

    chosen = regions.level_of(boxes, strides)
    assert chosen.tolist() == [[0, 1], [0, 0]]
    for image in range(2):
        for place in range(2):
            level = int(chosen[image, place])
            for channel in range(3):
                plane = levels[level][image, channel].double().numpy()
                wanted = _pooled(plane, boxes[image, place].tolist(), 3, strides[level])
                assert found[image, place, channel].numpy() == pytest.approx(wanted, abs=1e-4)


def _detector() -> TwoStage:
    torch.manual_seed(0)
    asked = ProposalSettings(before=50, after=20, iou=0.7)
    return TwoStage(
        Shape(
            backbone="resnet_10",
            classes=2,
            strides=[16],
            anchors=[[(20.0, 20.0), (40.0, 40.0)]],
            proposals=ProposalTraining(asked=asked, positive=0.7, negative=0.3, batch=16),
            regions=RegionTraining(positive=0.5, low=0.1, high=0.5, batch=8, share=0.5, truths=True, pool=3, hidden=8),
        ),
        64,
        64,
    )


def test_proposals_are_those_that_torchvision_chooses() -> None:
    from torchvision.ops import boxes as box_ops

    model = _detector()
    count = sum(model.counts)
    scores, codes = torch.randn(2, count), torch.randn(2, count, 4) * 0.3

    found, values = model.propose(scores, codes, ProposalSettings(before=12, after=6, iou=0.4, smallest=4))

    for image in range(2):
        best = scores[image].topk(12).indices
        decoded = box_ops.clip_boxes_to_image(model._first.decode_single(codes[image], model.anchors), (64, 64))
        kept = best[box_ops.remove_small_boxes(decoded[best], 4)]
        kept = kept[box_ops.nms(decoded[kept], scores[image, kept].sigmoid(), 0.4)][:6]
        count = len(kept)
        assert torch.allclose(found[image, :count], decoded[kept], atol=1e-4)
        assert torch.allclose(values[image, :count], scores[image, kept].sigmoid())
        assert not values[image, count:].any()


def test_regions_to_learn_from_have_the_label_of_their_object() -> None:
    model = _detector()
    target = Target(torch.tensor([[0.0, 0, 20, 20], [40, 40, 60, 60]]), torch.tensor([1, 0]))
    near, apart, ignored = [1.0, 0, 20, 20], [0.0, 30, 20, 50], [0.0, 18, 20, 38]
    given = torch.tensor([[near, apart, ignored, [0.0] * 4], [apart, near, ignored, [0.0] * 4]])
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.0]] * 2)
    empty = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))

    found = model.sample(given, scores, [target, empty])

    counted = found.labels[0] >= 0
    boxes, labels = found.boxes[0][counted].tolist(), found.labels[0][counted].tolist()
    rows = {tuple(box): label for box, label in zip(boxes, labels, strict=True)}
    # The overlap of `apart` and `ignored` is below `low`: they are neither objects nor background.
    assert rows == {tuple(near): 2, (0.0, 0.0, 20.0, 20.0): 2, (40.0, 40.0, 60.0, 60.0): 1}
    assert not (found.labels[1] >= 0).any()


def test_at_most_a_share_of_what_is_drawn_is_positive() -> None:
    positive = torch.arange(40) < 10
    high, low = two_stage.sample_rows(positive, ~positive, 12, 0.25)
    assert len(high) == 3 and len(low) == 9
    assert positive[high].all() and not positive[low].any()
    high, low = two_stage.sample_rows(positive & (torch.arange(40) == 0), ~positive, 12, 0.25)
    assert len(high) == 1 and len(low) == 11


def test_weights_of_the_backbone_alone_are_taken_over(tmp_path: Path) -> None:
    model, other = _detector(), _detector()
    torch.nn.init.normal_(other.backbone.body["conv1"].weight)
    torch.save(other.backbone.body.state_dict(), tmp_path / "resnet.pth")

    loaded = weights.start(model, tmp_path / "resnet.pth", "checkpoint")

    assert torch.equal(model.backbone.body["conv1"].weight, other.backbone.body["conv1"].weight)
    assert loaded.count == len(other.backbone.body.state_dict())
    assert loaded.left == dict.fromkeys(("proposer", "head", "predictor"), "not in the file")
