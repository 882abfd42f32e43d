"""Segmentations as images of 0 and 255, painted as pycocotools does, and moved as the image's points are.

A polygon's pixels are found as there: corners go to fifths of a pixel, and in each column a pixel's middle decides.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
from PIL import Image, ImageChops

from runners.engine.data.affine import SAME, Matrix, inverse
from taod.datasets.formats.segments import LEAST_NUMBERS, Segmentation, ring_area

FINE = 5
"""Steps of a pixel that a polygon's corners are rounded to."""
_MIDDLE = 2
"""The step whose way to the next crosses a column's middle."""
INSIDE = 255
PLACES = 3
"""Digits of moved corners behind the point."""
LEAST_AREA = 1e-3
"""Square pixels below which a cut polygon counts as gone."""


def mask(segmentation: Segmentation, size: tuple[int, int]) -> Image.Image:
    """An image of mode L, `size` in width and height, 255 inside."""
    if not segmentation.polygons:
        return of_runs(segmentation.counts, segmentation.size)
    whole: Image.Image | None = None
    for ring in segmentation.polygons:
        one = of_runs(runs_of_ring(ring, size), size)
        whole = one if whole is None else ImageChops.lighter(whole, one)
    return whole if whole is not None else Image.new("L", size)


def of_runs(counts: Sequence[int], size: tuple[int, int]) -> Image.Image:
    """The image of run lengths down the columns."""
    width, height = size
    data = b"".join((b"\xff" if at % 2 else b"\0") * count for at, count in enumerate(counts))
    # Run lengths go down the columns, an image's bytes along the rows.
    return Image.frombytes("L", (height, width), data).transpose(Image.Transpose.TRANSPOSE)


def runs(image: Image.Image) -> tuple[int, ...]:
    """Run lengths down the columns of an image of 0 and 255."""
    return of_columns(image.transpose(Image.Transpose.TRANSPOSE).tobytes())


def of_columns(data: bytes) -> tuple[int, ...]:
    """Run lengths of bytes that are 0 or 255, those of 0 first."""
    found: list[int] = []
    at, wanted = 0, b"\xff"
    while at < len(data):
        end = data.find(wanted, at)
        end = len(data) if end < 0 else end
        found.append(end - at)
        at, wanted = end, b"\0" if wanted == b"\xff" else b"\xff"
    return tuple(found)


def of_mask(image: Image.Image) -> Segmentation | None:
    """What an image of 0 and 255 shows, as run lengths; None where it is empty."""
    counts = runs(image)
    return Segmentation(counts=counts, size=image.size) if len(counts) > 1 else None


def runs_of_ring(ring: Sequence[float], size: tuple[int, int]) -> tuple[int, ...]:
    """Run lengths of one polygon's pixels."""
    width, height = size
    corners = [(int(FINE * x + 0.5), int(FINE * y + 0.5)) for x, y in zip(ring[::2], ring[1::2], strict=True)]
    edges = zip(corners, [*corners[1:], corners[0]], strict=True)
    met = Counter(
        column * height + _row(step, height) for start, end in edges for column, step in _crossings(start, end, width)
    )
    turns = [*sorted(place for place, often in met.items() if often % 2 and place < width * height), width * height]
    return tuple(end - start for start, end in zip([0, *turns], turns, strict=False))


def _row(step: int, height: int) -> int:
    return math.ceil(min(max((step + 0.5) / FINE - 0.5, 0.0), height))


def _crossings(start: tuple[int, int], end: tuple[int, int], width: int) -> Iterator[tuple[int, int]]:
    """Columns whose middle an edge crosses, with the step at which it does; all in fifths of a pixel."""
    across, down = abs(end[0] - start[0]), abs(end[1] - start[1])
    if not across:
        return
    if (across >= down and start[0] > end[0]) or (across < down and start[1] > end[1]):
        start, end = end, start
    least, most = min(start[0], end[0]), max(start[0], end[0])
    columns = range(max(-((_MIDDLE - least) // FINE), 0), min((most - 1 - _MIDDLE) // FINE, width - 1) + 1)
    if across >= down:
        slope = (end[1] - start[1]) / across
        for column in columns:
            at = column * FINE + _MIDDLE - start[0]
            yield column, min(int(start[1] + slope * at + 0.5), int(start[1] + slope * (at + 1) + 0.5))
        return
    slope = (end[0] - start[0]) / down
    for column in columns:
        edge = column * FINE + _MIDDLE
        yield column, start[1] + _before(start[0], slope, edge, down)


def _before(start: int, slope: float, edge: int, most: int) -> int:
    """The last step down before the line, rounded to fifths, goes over from `edge` to the next, or back."""

    def beyond(step: int) -> bool:
        return (int(start + slope * step + 0.5) > edge) == (slope > 0)

    step = min(max(math.floor((edge + 0.5 - start) / slope), 0), most)
    while step > 0 and beyond(step):
        step -= 1
    while step < most and not beyond(step + 1):
        step += 1
    return step


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
    points = list(zip(ring[::2], ring[1::2], strict=True))
    for axis, edge, sign in ((0, 0.0, 1), (1, 0.0, 1), (0, float(size[0]), -1), (1, float(size[1]), -1)):
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

    begun = 0
    """The first span of the column before that may still touch."""
    for at, (column, first, last) in enumerate(spans):
        while begun < at and (
            spans[begun][0] < column - 1 or (spans[begun][0] < column and spans[begun][2] < first - 1)
        ):
            begun += 1
        near = begun
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
