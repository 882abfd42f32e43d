"""Masks of objects against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_masks

torch = pytest.importorskip("torch")

from runners.engine.detection import masks, metrics  # noqa: E402
from runners.engine.detection.metrics import Detections, Truth  # noqa: E402
from taod.datasets.formats.segments import Segmentation  # noqa: E402

pytestmark = pytest.mark.engine

TRIANGLE = Segmentation(polygons=((10.0, 30.0, 25.0, 4.0, 40.0, 30.0),))
BOX = (10.0, 4.0, 40.0, 30.0)


def test_a_mask_within_its_box_comes_back_where_it_was() -> None:
    size = (60, 40)
    inner = masks.within(TRIANGLE, BOX, size, 56)
    found = masks.pasted(inner.numpy() / masks.INSIDE, np.array(BOX), size)
    wanted = coco_masks.merge(coco_masks.frPyObjects([list(TRIANGLE.polygons[0])], 40, 60))
    assert float(coco_masks.iou([found], [wanted], [0])[0, 0]) > 0.93
    assert (masks.within(None, BOX, size, 4) == masks.UNKNOWN).all()


def test_a_region_learns_the_part_of_the_mask_that_it_covers() -> None:
    """The object fills the lower half of its box; the region is the right half of the box, and as much beyond it."""
    mask = torch.zeros(1, 28, 28, dtype=torch.uint8)
    mask[:, 14:] = masks.INSIDE
    objects, region = torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([[10.0, 0, 30, 20]])
    found = masks.targets(mask, objects, region, 8)[0]
    wanted = torch.zeros(8, 8)
    wanted[4:, :4] = 1
    assert torch.equal(found, wanted)


def test_masks_that_reach_beyond_the_image_are_cut() -> None:
    found = masks.pasted(np.ones((7, 7)), np.array([-5.0, 10, 5, 50]), (20, 30))
    pixels = coco_masks.decode(found)
    assert pixels.shape == (30, 20)
    assert pixels[10:, :5].all() and pixels.sum() == 20 * 5
    assert not coco_masks.decode(masks.pasted(np.ones((7, 7)), np.array([30.0, 0, 40, 10]), (20, 30))).any()


def test_values_of_masks_equal_pycocotools_on_its_own_form() -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    random = np.random.default_rng(2)
    truths, found, annotations, results = [], [], [], []
    for number in range(1, 6):
        own, seen = [], []
        for _ in range(4):
            left, top = random.uniform(0, 60, 2)
            ring = [left, top, left + 20, top + random.uniform(5, 20), left + 4, top + 22]
            segmentation = Segmentation(polygons=(tuple(map(float, ring)),))
            kind, crowd = int(random.integers(2)), bool(random.uniform() < 0.2)
            own.append((segmentation, kind, crowd))
            annotations += [
                {"id": len(annotations) + 1, "image_id": number, "category_id": kind + 1, "bbox": [left, top, 20, 22],
                 "iscrowd": int(crowd), "area": 150.0,
                 "segmentation": masks.rle(segmentation, (), (100, 100)) if crowd else [ring]}
            ] if number < 5 else []  # fmt: skip
            moved = Segmentation(polygons=(tuple(value + random.normal(0, 1.5) for value in ring),))
            seen.append((masks.rle(moved, (), (100, 100)), kind, random.uniform()))
            results.append(
                {"image_id": number, "category_id": kind + 1, "score": seen[-1][2], "segmentation": seen[-1][0]}
            )
        boxes = np.tile([0.0, 0, 20, 22], (4, 1))
        kinds = np.array([one[1] for one in own])
        crowds, areas = np.array([one[2] for one in own]), np.full(4, 150.0)
        whole = [masks.rle(one[0], (), (100, 100)) for one in own]
        empty = Truth(boxes[:0], kinds[:0], crowds[:0], areas[:0])
        truths.append(Truth(boxes, kinds, crowds, areas, whole) if number < 5 else empty)
        found.append(Detections(boxes, np.array([one[2] for one in seen]), kinds, [one[0] for one in seen]))
    truth = COCO()
    truth.dataset = {
        "images": [{"id": number, "width": 100, "height": 100} for number in range(1, 6)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(results), "segm")
    evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()

    values, _ = metrics.coco(truths, found, ["a", "b"], masks=True)
    assert list(values.values()) == pytest.approx(evaluation.stats.tolist(), abs=1e-6)
    assert 0.1 < values["AP"] < 0.9
