"""Average precision of detections: PASCAL VOC's two ways, and COCO's by pycocotools. Works on numpy arrays."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Literal

import msgspec
import numpy as np

Mode = Literal["sample", "integrate"]
MOST = 100
"""Detections of an image that COCO counts."""


Rle = dict[str, Any]
"""A mask as pycocotools has it: `size` (height, width) and packed `counts`."""


class Detections(msgspec.Struct, frozen=True):
    """What a detector found in an image: boxes [n, 4] as edges in pixels of the image, scores [n], classes [n]; masks
    where it finds them."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: list[Rle] = []


class Truth(msgspec.Struct, frozen=True):
    """The objects of an image: boxes [n, 4], classes, which are crowds, and areas as COCO counts them; masks where they
    are read."""

    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    masks: list[Rle] = []


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes [n, 4] and [m, 4]: [n, m]."""
    lower = np.maximum(first[:, None, :2], second[None, :, :2])
    upper = np.minimum(first[:, None, 2:], second[None, :, 2:])
    inner = (upper - lower).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - inner
    found: np.ndarray = np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)
    return found


class Curve(msgspec.Struct, frozen=True):
    """Precision and recall of a class over falling scores."""

    recall: np.ndarray
    precision: np.ndarray
    objects: int

    def average_precision(self, mode: Mode) -> float:
        """`sample`: mean of the best precision from the recalls 0, 0.1 … 1 on (VOC 2007); `integrate`: area under the
        precision made monotonic (VOC 2010). NaN where the data have no object of the class."""
        if not self.objects:
            return float("nan")
        if mode == "sample":
            best = [self.precision[self.recall >= at].max(initial=0.0) for at in np.linspace(0, 1, 11)]
            return float(np.mean(best))
        recall = np.concatenate(([0.0], self.recall, [1.0]))
        precision = np.concatenate(([0.0], self.precision, [0.0]))
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float(np.sum(np.diff(recall) * envelope[1:]))


def curve(truths: list[Truth], found: list[Detections], index: int, threshold: float) -> Curve:
    """The curve of one class: a detection is right where its IoU with an object that no better one has is at least
    the threshold; one that overlaps a crowd most is not counted."""
    rows: list[tuple[float, float]] = []
    objects = 0
    for truth, detections in zip(truths, found, strict=True):
        own = truth.classes == index
        boxes, crowd = truth.boxes[own], truth.crowd[own]
        objects += int((~crowd).sum())
        mine = detections.classes == index
        scores = detections.scores[mine]
        order = np.argsort(-scores, kind="stable")
        overlaps = iou(detections.boxes[mine][order], boxes)
        taken = np.zeros(len(boxes), dtype=bool)
        for score, row in zip(scores[order], overlaps, strict=True):
            best = int(row.argmax()) if len(row) else -1
            if best < 0 or row[best] < threshold:
                rows.append((float(score), 0.0))
            elif not crowd[best]:
                rows.append((float(score), float(not taken[best])))
                taken[best] = True
    rows.sort(key=lambda row: -row[0])
    right = np.array([row[1] for row in rows])
    hits = np.cumsum(right)
    return Curve(hits / max(objects, 1), hits / np.arange(1, len(right) + 1), objects)


def voc(
    truths: list[Truth], found: list[Detections], names: list[str], mode: Mode, threshold: float | list[float] = 0.5
) -> tuple[float, dict[str, float]]:
    """The mean over the classes that the data have, and the average precision of each class."""
    limits = threshold if isinstance(threshold, list) else [threshold] * len(names)
    each = {
        name: curve(truths, found, index, limit).average_precision(mode)
        for index, (name, limit) in enumerate(zip(names, limits, strict=True))
    }
    there = [value for value in each.values() if not np.isnan(value)]
    return (float(np.mean(there)) if there else 0.0), each


COCO_KPIS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "ARmax1", "ARmax10", "ARmax100", "ARs", "ARm", "ARl")
"""pycocotools' twelve values in its order."""


def coco(
    truths: list[Truth], found: list[Detections], names: list[str], *, masks: bool = False
) -> tuple[dict[str, float], dict[str, float]]:
    """The twelve values of COCO's evaluation of boxes, or of `masks`, and AP of each class. Values that the data do not
    define are -1."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    results = [
        {"image_id": number, "category_id": int(index) + 1, "score": float(score)} | _shape(box, masks, one, place)
        for number, one in enumerate(found, 1)
        for place, (box, score, index) in enumerate(zip(one.boxes, one.scores, one.classes, strict=True))
    ]
    if not results:
        return dict.fromkeys(COCO_KPIS, 0.0), dict.fromkeys(names, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": [
                {"id": number, **_size([*truth.masks, *one.masks])}
                for number, (truth, one) in enumerate(zip(truths, found, strict=True), 1)
            ],
            "annotations": _annotations(truths, masks),
            "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
        }
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(results), "segm" if masks else "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [threshold, recall, class], all areas, 100 detections
    each = {}
    for index, name in enumerate(names):
        defined = precision[:, :, index][precision[:, :, index] > -1]
        each[name] = float(defined.mean()) if len(defined) else -1.0
    return dict(zip(COCO_KPIS, map(float, evaluation.stats), strict=True)), each


def _annotations(truths: list[Truth], masks: bool) -> list[dict[str, Any]]:
    found = [
        {
            "image_id": number,
            "category_id": int(truth.classes[place]) + 1,
            "area": float(truth.areas[place]),
            "iscrowd": int(truth.crowd[place]),
            "bbox": _sized(box),
        }
        | ({"segmentation": truth.masks[place]} if masks else {})
        for number, truth in enumerate(truths, 1)
        for place, box in enumerate(truth.boxes)
    ]
    return [{"id": number, **one} for number, one in enumerate(found, 1)]


def _size(masks: list[Rle]) -> dict[str, int]:
    return dict(zip(("height", "width"), masks[0]["size"], strict=True)) if masks else {}


def _shape(box: np.ndarray, masks: bool, found: Detections, place: int) -> dict[str, Any]:
    return {"segmentation": found.masks[place]} if masks else {"bbox": _sized(box)}


def _sized(box: np.ndarray) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]
