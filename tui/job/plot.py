"""Curves over epochs, drawn in characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tui.plot import Plot, rgb, ticks

MOST_POINTS = 1_000


@dataclass(frozen=True, slots=True)
class Line:
    """One curve of a plot."""

    name: str
    epochs: list[int]
    values: list[float]
    colour: str


class MetricPlot(Plot):
    """Curves over epochs."""

    def draw(self, lines: Sequence[Line]) -> None:
        """Draw these curves."""
        figure = self.cleared()
        lines = [thinned(line) for line in lines]
        every = sorted({epoch for line in lines for epoch in line.epochs})
        for line in lines:
            if len(line.epochs) == 1:
                figure.scatter(line.epochs, line.values, marker="●", color=rgb(line.colour))
            elif line.epochs:
                figure.plot(line.epochs, line.values, marker="braille", color=rgb(line.colour))
        if every:
            figure.xticks(ticks(every))
        self.refresh()


def thinned(line: Line) -> Line:
    """The curve with no more points than a screen can show; the last point is kept."""
    step = -(-len(line.epochs) // MOST_POINTS)
    if step <= 1:
        return line
    kept = slice((len(line.epochs) - 1) % step, None, step)
    return Line(line.name, line.epochs[kept], line.values[kept], line.colour)
