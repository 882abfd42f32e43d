"""Segmentations as images of 0 and 255, rasterised by pycocotools, and moved as the image's points are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco_masks

from runners.engine.data.affine import SAME, Matrix, inverse
from taod.datasets.formats.segments import LEAST_NUMBERS, Segmentation, ring_area

INSIDE = 255
FAR = 10_000
PLACES = 3
"""Digits of moved corners behind the point."""
LEAST_AREA = 1e-3
"""Square pixels below which a cut polygon counts as gone."""


def mask(segmentation: Segmentation, size: tuple[int, int]) -> Image.Image:
    """An image of mode L, `size` in width and height, 255 inside."""
    if not segmentation.polygons:
        return of_runs(segmentation.counts, segmentation.size)
    width, height = size
    # Far corners would cost memory by their distance; what is outside the image has no pixels.
    near = [_near(ring, size) for ring in segmentation.polygons]
    rings = [list(ring) for ring in near if len(ring) >= LEAST_NUMBERS]
    if not rings:
        return Image.new("L", size)
    return Image.fromarray(coco_masks.decode(coco_masks.merge(coco_masks.frPyObjects(rings, height, width))) * INSIDE)


def _near(ring: Sequence[float], size: tuple[int, int]) -> Sequence[float]:
    """A polygon, cut at `FAR` pixels from the image where a corner is farther away."""
    box = (-FAR, -FAR, size[0] + FAR, size[1] + FAR)
    inside = all(box[0] <= x <= box[2] for x in ring[::2]) and all(box[1] <= y <= box[3] for y in ring[1::2])
    return ring if inside else _within(ring, box)


def of_runs(counts: Sequence[int], size: tuple[int, int]) -> Image.Image:
    """The image of run lengths down the columns, 255 inside."""
    values = np.repeat((np.arange(len(counts)) % 2 * INSIDE).astype(np.uint8), counts)
    return Image.fromarray(np.ascontiguousarray(values.reshape(size).T))


def runs(inside: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """Run lengths down the columns of an array of height x width, those outside first."""
    flat = np.concatenate([[False], inside.ravel(order="F")])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return tuple(np.diff(edges, prepend=0, append=inside.size).tolist())


def of_mask(image: Image.Image) -> Segmentation | None:
    """What an image of 0 and 255 shows, as run lengths; None where it is empty."""
    counts = runs(np.asarray(image) > 0)
    return Segmentation(counts=counts, size=image.size) if len(counts) > 1 else None


def move(
    segmentation: Segmentation, matrix: Matrix, came: tuple[int, int], size: tuple[int, int]
) -> Segmentation | None:
    """Where it is after the image's points moved by `matrix`, cut to the new `size`; None where nothing is left."""
    if matrix == SAME and came == size:
        return segmentation
    if not segmentation.polygons:
        return of_mask(warp(mask(segmentation, came), matrix, size))
    kept = tuple(
        tuple(round(value, PLACES) for value in ring)
        for ring in (clip(_moved(ring, matrix), size) for ring in segmentation.polygons)
        if len(ring) >= LEAST_NUMBERS and abs(ring_area(ring)) > LEAST_AREA
    )
    return msgspec.structs.replace(segmentation, polygons=kept) if kept else None


def warp(image: Image.Image, matrix: Matrix, size: tuple[int, int], fill: int = 0) -> Image.Image:
    """A mask with its points moved: no values between those that it has; what comes in from outside is `fill`."""
    return image.transform(
        size, Image.Transform.AFFINE, inverse(matrix), resample=Image.Resampling.NEAREST, fillcolor=fill
    )


def _moved(ring: Sequence[float], matrix: Matrix) -> list[float]:
    a, b, c, d, e, f = matrix
    return [
        value for x, y in zip(ring[::2], ring[1::2], strict=True) for value in (a * x + b * y + c, d * x + e * y + f)
    ]


def clip(ring: Sequence[float], size: tuple[int, int]) -> list[float]:
    """The part of a polygon inside the image; empty where there is none.

    Source: Sutherland and Hodgman, Reentrant polygon clipping (Communications of the ACM, 1974).
    """
    return _within(ring, (0, 0, *size))


def _within(ring: Sequence[float], box: tuple[int, int, int, int]) -> list[float]:
    left, top, right, bottom = map(float, box)
    points = list(zip(ring[::2], ring[1::2], strict=True))
    for axis, edge, sign in ((0, left, 1), (1, top, 1), (0, right, -1), (1, bottom, -1)):
        points = _cut(points, axis, edge, sign)
    return [value for point in points for value in point]


def _cut(points: list[tuple[float, float]], axis: int, edge: float, sign: int) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for at, point in enumerate(points):
        before = points[at - 1]
        here, there = sign * (point[axis] - edge), sign * (before[axis] - edge)
        if (here < 0) != (there < 0):
            share = there / (there - here)
            met = [start + share * (end - start) for start, end in zip(before, point, strict=True)]
            met[axis] = edge
            kept.append((met[0], met[1]))
        if here >= 0:
            kept.append(point)
    return kept


def parts(counts: Sequence[int], height: int) -> list[tuple[int, ...]]:
    """The connected regions of a mask, each as run lengths of its own: pixels that touch by a side or a corner.

    Runs are split at the columns' ends; those of neighbouring columns that touch are of one region (union-find).
    """
    spans = list(_spans(counts, height))
    roots = list(range(len(spans)))

    def root(at: int) -> int:
        while roots[at] != at:
            roots[at] = roots[roots[at]]
            at = roots[at]
        return at

    oldest = 0
    """The first span of the column before that may still touch."""
    for at, (column, first, last) in enumerate(spans):
        while oldest < at and (
            spans[oldest][0] < column - 1 or (spans[oldest][0] < column and spans[oldest][2] < first - 1)
        ):
            oldest += 1
        near = oldest
        while near < at and spans[near][0] == column - 1 and spans[near][1] <= last + 1:
            roots[root(near)] = root(at)
            near += 1
    found: dict[int, list[tuple[int, int]]] = {}
    for at, (column, first, last) in enumerate(spans):
        found.setdefault(root(at), []).append((column * height + first, column * height + last + 1))
    whole = sum(counts)
    return [_joined(places, whole) for places in found.values()]


def _spans(counts: Sequence[int], height: int) -> Iterator[tuple[int, int, int]]:
    """Column, first and last row of each run inside, split where a column ends."""
    at = 0
    for number, count in enumerate(counts):
        if number % 2:
            end = at + count
            while at < end:
                column, first = divmod(at, height)
                until = min(end, (column + 1) * height)
                yield column, first, until - 1 - column * height
                at = until
        else:
            at += count


def _joined(places: Sequence[tuple[int, int]], whole: int) -> tuple[int, ...]:
    """Run lengths of runs from … to, in order; those that follow without a gap are one."""
    edges: list[int] = []
    for begin, end in places:
        if edges and edges[-1] == begin:
            edges[-1] = end
        else:
            edges += [begin, end]
    edges.append(whole)
    lengths = [end - begin for begin, end in zip([0, *edges], edges, strict=False)]
    return tuple(lengths[:-1] if not lengths[-1] else lengths)
