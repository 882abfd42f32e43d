"""Curves over epochs, drawn in characters. Imported when the first are there: the library behind it loads slowly."""

from __future__ import annotations

from collections.abc import Sequence

from textual_plotext import PlotextPlot

from tui.job.curves import Line
from tui.theme import SURFACE

INK_RGB = (105, 117, 110)
GROUND_RGB = tuple(int(SURFACE[at : at + 2], 16) for at in (1, 3, 5))
MOST_TICKS = 10
MOST_POINTS = 1_000


def rgb(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


class MetricPlot(PlotextPlot):
    """Curves over epochs."""

    def draw(self, lines: Sequence[Line]) -> None:
        """Show these."""
        plot = self.plt
        plot.clear_figure()
        plot.canvas_color(GROUND_RGB)
        plot.axes_color(GROUND_RGB)
        plot.ticks_color(INK_RGB)
        plot.grid(False, False)
        plot.xaxes(True, False)
        plot.yaxes(True, False)
        lines = [thinned(line) for line in lines]
        every = sorted({epoch for line in lines for epoch in line.epochs})
        for line in lines:
            if len(line.epochs) == 1:
                plot.scatter(line.epochs, line.values, marker="●", color=rgb(line.colour))
            elif line.epochs:
                plot.plot(line.epochs, line.values, marker="braille", color=rgb(line.colour))
        if every:
            plot.xticks(ticks(every))
        self.refresh()


def thinned(line: Line) -> Line:
    """A line with no more points than a screen can show; the last one stays."""
    step = -(-len(line.epochs) // MOST_POINTS)
    if step <= 1:
        return line
    kept = slice((len(line.epochs) - 1) % step, None, step)
    return Line(line.name, line.epochs[kept], line.values[kept], line.colour)


def ticks(epochs: list[int]) -> list[int]:
    """Whole epochs to write under the axis, ten or so."""
    first, last = epochs[0], epochs[-1]
    step = max(1, -(-(last - first) // MOST_TICKS))
    return list(range(first, last + 1, step))
