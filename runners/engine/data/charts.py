"""Charts as PNG files: bars of named counts, and histograms. Import this only to draw: it loads matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

PIXELS_PER_INCH = 60
MOST_BARS = 40
BAR_INCHES = 0.35
BINS = 30
COLOUR = "#4878a8"
LONGEST_NAME = 24


def bars(path: Path, title: str, counts: dict[str, int], size: tuple[int, int], *, everything: bool = False) -> None:
    """Horizontal bars, the greatest first. Beyond `MOST_BARS` the rest is one bar, unless `everything` is drawn.

    `size` is width and height in inches; many bars make the chart higher.
    """
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    if len(ordered) > MOST_BARS and not everything:
        rest = ordered[MOST_BARS - 1 :]
        ordered = [*ordered[: MOST_BARS - 1], (f"{len(rest)} others", sum(count for _, count in rest))]
    figure, axes = _chart(title, (size[0], max(size[1], BAR_INCHES * len(ordered))))
    drawn = axes.barh(range(len(ordered)), [count for _, count in ordered], color=COLOUR)
    axes.bar_label(drawn, fmt="{:,.0f}", padding=4)
    axes.set_yticks(range(len(ordered)), [_short(name) for name, _ in ordered])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)  # a class name may contain dollar signs
    axes.invert_yaxis()
    axes.margins(x=0.15, y=0.01)
    figure.savefig(path)


def histogram(path: Path, title: str, values: Sequence[float], size: tuple[int, int], unit: str = "") -> None:
    """How many values fall into each of `BINS` equal intervals from the least to the greatest."""
    figure, axes = _chart(title, size)
    axes.hist(values, bins=BINS, color=COLOUR)
    axes.set_xlabel(unit)
    axes.grid(axis="y", alpha=0.4)
    figure.savefig(path)


def _chart(title: str, size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, dpi=PIXELS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left")
    return figure, axes


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
