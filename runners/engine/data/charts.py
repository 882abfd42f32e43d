"""Plain charts as PNG files, drawn with Pillow alone: bars of named counts, and histograms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PIXELS_PER_UNIT = 60
"""The tool's `graph.width` and `graph.height` are in units of a plotting library: inches, more or less."""
MOST_BARS = 40
BINS = 30
INK, GRID, BAR = "#222222", "#dddddd", "#4878a8"
MARGIN = 24


def bars(path: Path, title: str, counts: dict[str, int], size: tuple[int, int], *, everything: bool = False) -> None:
    """Horizontal bars, the greatest first; of many names the rest is summed, unless `everything` is asked for."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    if len(ordered) > MOST_BARS and not everything:
        rest = ordered[MOST_BARS - 1 :]
        ordered = [*ordered[: MOST_BARS - 1], (f"{len(rest)} others", sum(count for _, count in rest))]
    font = ImageFont.load_default(14)
    height = max(size[1], MARGIN * 3 + 20 * len(ordered))
    image, draw = _sheet(title, (size[0], height))
    names = max((draw.textlength(_short(name), font=font) for name, _ in ordered), default=0)
    left, right = int(MARGIN + names + 10), size[0] - MARGIN - 80
    most = max((count for _, count in ordered), default=0) or 1
    step = (height - MARGIN * 3) / max(len(ordered), 1)
    for at, (name, count) in enumerate(ordered):
        top = MARGIN * 2 + at * step
        middle = top + step / 2
        end = left + max(right - left, 1) * count / most
        draw.text((left - 8, middle), _short(name), fill=INK, font=font, anchor="rm")
        draw.rectangle((left, top + step * 0.15, max(end, left), top + step * 0.85), fill=BAR)
        draw.text((end + 6, middle), f"{count:,}", fill=INK, font=font, anchor="lm")
    image.save(path)


def histogram(path: Path, title: str, values: Sequence[float], size: tuple[int, int], unit: str = "") -> None:
    """How often values fall into each of equal steps between the least and the greatest."""
    image, draw = _sheet(title, size)
    font = ImageFont.load_default(14)
    left, top, right, bottom = MARGIN * 3, MARGIN * 2, size[0] - MARGIN, size[1] - MARGIN * 2
    counts, least, most = binned(values)
    tallest = max(counts, default=0) or 1
    for share in (0.25, 0.5, 0.75, 1.0):
        level = bottom - (bottom - top) * share
        draw.line((left, level, right, level), fill=GRID)
        draw.text((left - 6, level), f"{tallest * share:,.0f}", fill=INK, font=font, anchor="rm")
    step = (right - left) / max(len(counts), 1)
    for at, count in enumerate(counts):
        draw.rectangle(
            (left + at * step + 1, bottom - (bottom - top) * count / tallest, left + (at + 1) * step - 1, bottom),
            fill=BAR,
        )
    for at, value in enumerate((least, (least + most) / 2, most)):
        place = left + (right - left) * at / 2
        draw.text((place, bottom + 8), f"{value:,.4g} {unit}".rstrip(), fill=INK, font=font, anchor="ma")
    image.save(path)


def binned(values: Sequence[float], bins: int = BINS) -> tuple[list[int], float, float]:
    """Counts in equal steps, the least and the greatest value; one step where all are the same."""
    if not values:
        return [], 0.0, 0.0
    least, most = min(values), max(values)
    if least == most:
        return [len(values)], least, most
    counts = [0] * bins
    for value in values:
        counts[min(int((value - least) / (most - least) * bins), bins - 1)] += 1
    return counts, least, most


def _sheet(title: str, size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN / 2), title, fill=INK, font=ImageFont.load_default(18))
    return image, draw


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"
