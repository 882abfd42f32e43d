"""Values by trial: a point for each, and a line for the best so far."""

from __future__ import annotations

from rich.text import Text
from textual_plotext import PlotextPlot

from taod.types.sweep import SweepView
from tui.job.plot import GROUND_RGB, INK_RGB, rgb, ticks
from tui.sweep import facts
from tui.theme import BLUE, DIM, GREEN, ORANGE

LEAST_HEIGHT = 4
"""Lines below which there is nothing but the axis."""


class ValuePlot(PlotextPlot):
    """A sweep's values in the order of its trials."""

    def render(self) -> Text:
        if self.size.height < LEAST_HEIGHT:
            return Text("Too small for the plot.", style=DIM)
        return super().render()

    def draw(self, sweep: SweepView | None, chosen: int | None) -> None:
        """Show this sweep; the trial under the cursor stands out."""
        plot = self.plt
        plot.clear_figure()
        plot.canvas_color(GROUND_RGB)
        plot.axes_color(GROUND_RGB)
        plot.ticks_color(INK_RGB)
        plot.grid(False, False)
        plot.xaxes(True, False)
        plot.yaxes(True, False)
        numbers, line = facts.best_so_far(sweep) if sweep is not None else ([], [])
        if sweep is not None and numbers:
            value = {trial.number: trial.value for trial in sweep.trials}
            if len(numbers) > 1:
                plot.plot(numbers, line, marker="braille", color=rgb(GREEN))
            plot.scatter(numbers, [value[number] for number in numbers], marker="•", color=rgb(BLUE))
            if chosen in numbers:
                plot.scatter([chosen], [value[chosen]], marker="●", color=rgb(ORANGE))
            plot.xticks(ticks(numbers))
        self.refresh()
