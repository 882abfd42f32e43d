"""COCO segmentations as data: polygons, and masks as run lengths, plain or packed into text. Pure; draws no image.

Source: the mask format of the COCO API (Lin et al., Microsoft COCO, ECCV 2014).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from taod.datasets.formats.image import MOST_PIXELS
from taod.datasets.formats.types import Box, Item, Label, shown

LEAST_NUMBERS = 6
"""Coordinates of the smallest polygon: three points."""

FARTHEST = 1e7
"""Largest coordinate of a polygon, in pixels."""


class Segmentation(msgspec.Struct, frozen=True, gc=False):
    """The pixels of an object: polygons, or a mask as run lengths."""

    polygons: tuple[tuple[float, ...], ...] = ()
    """Each x, y, x, y, … in pixels; the object is their union."""
    counts: tuple[int, ...] = ()
    """Run lengths down the columns, from the left: pixels outside first, then inside, alternating."""
    size: tuple[int, int] = (0, 0)
    """Width and height of the mask."""
    packed: bool = True
    """Whether the file has the run lengths as text."""


class Annotated(Label, frozen=True, gc=False):
    """A label of a COCO file with its further fields."""

    id: int | None = None
    area: float | None = None
    crowd: bool = False
    segmentation: Segmentation | None = None
    keypoints: bool = False
    """Whether the file has keypoints, which are not read."""


class Numbered(Item):
    """An image of a COCO file."""

    id: int = 0


def segmentation_of(label: Label) -> Segmentation | None:
    """The segmentation of a label; None without one."""
    return label.segmentation if isinstance(label, Annotated) else None


class _Mask(msgspec.Struct):
    size: list[int]
    counts: list[int] | str


def parse(raw: msgspec.Raw, size: tuple[int, int] | None) -> Segmentation | tuple[str, str] | None:
    """Parse a COCO `segmentation`; None for an absent one, (fault, what was expected) for an invalid one.

    `size` is the image's width and height, if the file has them.
    """
    try:
        found = msgspec.json.decode(raw, type=list[list[float]] | _Mask | None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        start = bytes(raw)[:80].decode(errors="replace")
        return f"segmentation is {shown(start)}", "polygons [[x, y, x, y, …], …], or a mask {size, counts}"
    if isinstance(found, _Mask):
        return _mask(found, size)
    polygons = tuple(tuple(ring) for ring in found or () if ring)
    for ring in polygons:
        if len(ring) < LEAST_NUMBERS or len(ring) % 2:
            return (
                f"a polygon has {len(ring)} numbers",
                f"x, y of at least 3 points: an even number from {LEAST_NUMBERS}",
            )
        if not all(abs(value) <= FARTHEST for value in ring):
            return f"a polygon has the number {max(ring, key=abs):g}", "x, y of each point in pixels"
    return Segmentation(polygons) if polygons else None


def _mask(found: _Mask, size: tuple[int, int] | None) -> Segmentation | tuple[str, str]:
    if len(found.size) != 2 or min(found.size) < 1 or found.size[0] * found.size[1] > MOST_PIXELS:
        return f"the mask's size is {shown(found.size)}", f"height and width, together at most {MOST_PIXELS} pixels"
    height, width = found.size
    if size is not None and size != (width, height):
        return f"the mask's size is {found.size}", f"[{size[1]}, {size[0]}]: the image's height and width"
    packed = isinstance(found.counts, str)
    try:
        counts = unpack(found.counts) if isinstance(found.counts, str) else found.counts
    except ValueError as error:
        return f"the mask's counts are not packed run lengths: {error}", "what pycocotools.mask.encode makes"
    if any(count < 0 for count in counts) or sum(counts) != width * height:
        return f"the mask's counts add up to {sum(counts)} pixels", f"{width * height}, for {width} x {height}"
    return Segmentation(counts=tuple(counts), size=(width, height), packed=packed)


def unpack(text: str) -> list[int]:
    """Run lengths from COCO's text: five bits a character; from the third on, differences to the one two before.

    Raises ValueError for invalid text.
    """
    counts: list[int] = []
    value = place = 0
    for at, character in enumerate(text):
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"character {at} is {character!r}")
        value |= (bits & 31) << place
        place += 5
        if bits & 32:
            if place > 60:
                raise ValueError(f"the number at character {at} is too long")
            continue
        if bits & 16:
            value -= 1 << place
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
        value = place = 0
    if place:
        raise ValueError("the last number is cut off")
    return counts


def pack(counts: Sequence[int]) -> str:
    """Run lengths as COCO's text."""
    text: list[str] = []
    for at, count in enumerate(counts):
        value = count - counts[at - 2] if at > 2 else count
        while True:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text.append(chr(48 + bits + 32 * more))
            if not more:
                break
    return "".join(text)


def as_json(segmentation: Segmentation | None) -> list[list[float]] | dict[str, object]:
    """The value in the form of COCO files; an empty list without a segmentation."""
    if segmentation is None:
        return []
    if segmentation.polygons:
        return [list(ring) for ring in segmentation.polygons]
    width, height = segmentation.size
    counts = pack(segmentation.counts) if segmentation.packed else list(segmentation.counts)
    return {"size": [height, width], "counts": counts}


def bounds(segmentation: Segmentation) -> Box | None:
    """The axis-aligned bounding box; None if it has no pixel."""
    if segmentation.polygons:
        across = [x for ring in segmentation.polygons for x in ring[::2]]
        down = [y for ring in segmentation.polygons for y in ring[1::2]]
        return Box(min(across), min(down), max(across), max(down))
    height = segmentation.size[1]
    left = top = right = bottom = -1
    at = 0
    for number, count in enumerate(segmentation.counts):
        if number % 2 and count:
            first, last = divmod(at, height), divmod(at + count - 1, height)
            whole = first[0] != last[0]
            upper, lower = (0, height - 1) if whole else (first[1], last[1])
            left = first[0] if left < 0 else left
            right = last[0]
            top = upper if top < 0 else min(top, upper)
            bottom = max(bottom, lower)
        at += count
    return None if left < 0 else Box(float(left), float(top), float(right + 1), float(bottom + 1))


def area(segmentation: Segmentation) -> float:
    """Area in square pixels: the sum of the polygons' areas, or the number of the mask's pixels."""
    if not segmentation.polygons:
        return float(sum(segmentation.counts[1::2]))
    return sum(abs(ring_area(ring)) for ring in segmentation.polygons)


def ring_area(ring: Sequence[float]) -> float:
    """Signed area of one polygon; the sign is its direction."""
    across, down = ring[::2], ring[1::2]
    # Relative to the first corner: the differences of large products would lose digits.
    x, y = across[0], down[0]
    return (
        sum((across[at - 1] - x) * (down[at] - y) - (across[at] - x) * (down[at - 1] - y) for at in range(len(across)))
        / 2
    )
