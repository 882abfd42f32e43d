"""Values by trial: a point for each, and a line for the best value so far."""

from __future__ import annotations

from rich.text import Text
from textual.app import RenderResult

from taod.types.sweep import SweepView
from tui.plot import Plot, rgb, ticks
from tui.sweep import trial_view
from tui.theme import BLUE, DIM, GREEN, ORANGE

LEAST_HEIGHT = 4
"""Smallest height in lines that leaves room for points."""


class ValuePlot(Plot):
    """A sweep's values in the order of its trials."""

    def render(self) -> RenderResult:
        if self.size.height < LEAST_HEIGHT:
            return Text("Too small for the plot.", style=DIM)
        return super().render()

    def draw(self, sweep: SweepView | None, chosen: int | None) -> None:
        """Show this sweep; `chosen`: number of the highlighted trial."""
        figure = self.cleared()
        numbers, line = trial_view.best_so_far(sweep) if sweep is not None else ([], [])
        if sweep is not None and numbers:
            value = {trial.number: trial.value for trial in sweep.trials}
            if len(numbers) > 1:
                figure.plot(numbers, line, marker="braille", color=rgb(GREEN))
            figure.scatter(numbers, [value[number] for number in numbers], marker="•", color=rgb(BLUE))
            if chosen in numbers:
                figure.scatter([chosen], [value[chosen]], marker="●", color=rgb(ORANGE))
            figure.xticks(ticks(numbers))
        self.refresh()
