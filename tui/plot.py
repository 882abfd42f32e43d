"""Base of all plots: colours, axes, ticks. Import through `LazyPlot`: the library loads slowly."""

from __future__ import annotations

from typing import Any

from textual_plotext import PlotextPlot

from tui.theme import SURFACE


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of `#rrggbb`, 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


INK_RGB = (105, 117, 110)
BACKGROUND_RGB = rgb(SURFACE)
MOST_TICKS = 10


class Plot(PlotextPlot):
    """Subclasses draw on what `cleared` returns, then call `refresh`."""

    def cleared(self) -> Any:
        """The empty figure in the dashboard's colours, without grid and frame."""
        figure = self.plt
        figure.clear_figure()
        figure.canvas_color(BACKGROUND_RGB)
        figure.axes_color(BACKGROUND_RGB)
        figure.ticks_color(INK_RGB)
        figure.grid(False, False)
        figure.xaxes(True, False)
        figure.yaxes(True, False)
        return figure


def ticks(numbers: list[int]) -> list[int]:
    """About MOST_TICKS integers for the axis."""
    first, last = numbers[0], numbers[-1]
    step = max(1, -(-(last - first) // MOST_TICKS))
    return list(range(first, last + 1, step))
