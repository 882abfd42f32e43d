"""From the grid of an image to detections: cells with enough coverage, clustered to one box an object. numpy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runners.engine.detection.metrics import Detections, iou
from runners.engine.networks.detectnet_v2.capabilities import STRIDE, Clustering, Handling


def decoded(coverage: np.ndarray, distances: np.ndarray, scale: float, offset: float) -> np.ndarray:
    """Boxes [classes, rows, columns, 4] in pixels of the input, from distances [4 * classes, rows, columns]."""
    classes, rows, columns = coverage.shape
    far = distances.reshape(classes, 4, rows, columns) * scale
    across = (np.arange(columns) * STRIDE + offset)[None, None]
    down = (np.arange(rows) * STRIDE + offset)[None, :, None]
    return np.stack([across - far[:, 0], down - far[:, 1], across + far[:, 2], down + far[:, 3]], axis=-1)


def detected(coverage: np.ndarray, boxes: np.ndarray, how: Sequence[Handling]) -> Detections:
    """The detections of an image; `how` by class."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for own, edges, handling in zip(coverage, boxes, how, strict=True):
        config = handling.clustering_config
        sure = own > config.coverage_threshold
        found.append(_clustered(edges[sure], own[sure], config, mean=handling.confidence_model == "mean_cov"))
    edges = np.concatenate([part for part, _ in found])
    scores = np.concatenate([part for _, part in found])
    classes = np.repeat(np.arange(len(found)), [len(part) for part, _ in found])
    order = np.argsort(-scores, kind="stable")
    return Detections(edges[order], scores[order], classes[order])


def _clustered(
    boxes: np.ndarray, scores: np.ndarray, config: Clustering, *, mean: bool
) -> tuple[np.ndarray, np.ndarray]:
    if config.clustering_algorithm != "NMS":
        boxes, scores = _merged(boxes, scores, config, mean=mean)
    if config.clustering_algorithm != "DBSCAN":
        kept = scores >= config.nms_confidence_threshold
        boxes, scores = _suppressed(boxes[kept], scores[kept], config.nms_iou_threshold)
    high = boxes[:, 3] - boxes[:, 1] >= config.minimum_bounding_box_height
    return boxes[high], scores[high]


def dbscan(distances: np.ndarray, eps: float, least: int) -> np.ndarray:
    """Cluster of each point, -1 for noise (Ester et al. 1996), from distances [n, n]."""
    near = distances <= eps
    core = near.sum(axis=1) >= least
    labels = np.full(len(distances), -1)
    number = 0
    for start in np.flatnonzero(core):
        if labels[start] >= 0:
            continue
        labels[start], waiting = number, [int(start)]
        while waiting:
            reached = np.flatnonzero(near[waiting.pop()] & (labels < 0))
            labels[reached] = number
            waiting += [int(one) for one in reached if core[one]]
        number += 1
    return labels


def _merged(boxes: np.ndarray, scores: np.ndarray, config: Clustering, *, mean: bool) -> tuple[np.ndarray, np.ndarray]:
    """A box a cluster: the mean of its cells' boxes by coverage; the sum (or mean) of their coverages."""
    labels = dbscan(1 - iou(boxes, boxes), config.dbscan_eps, max(1, int(config.dbscan_min_samples)))
    edges, sums = [], []
    for number in range(labels.max(initial=-1) + 1):
        own = labels == number
        share = scores[own]
        edges.append((boxes[own] * share[:, None]).sum(axis=0) / share.sum())
        sums.append(share.mean() if mean else share.sum())
    there, values = np.array(edges, dtype=float).reshape(-1, 4), np.array(sums, dtype=float)
    kept = values >= config.dbscan_confidence_threshold
    return there[kept], values[kept]


def _suppressed(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Greedy NMS, best first."""
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    overlaps, alive, kept = iou(boxes, boxes), np.ones(len(boxes), dtype=bool), []
    for place in range(len(boxes)):
        if alive[place]:
            kept.append(place)
            alive &= overlaps[place] <= threshold
    return boxes[kept], scores[kept]
