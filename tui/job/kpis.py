"""The curves of one job: a list of its metrics, and a plot of the chosen one over the epochs."""

from __future__ import annotations

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option
from textual_plotext import PlotextPlot

from taod.types.event import StatusUpdate
from taod.types.job import JobDetail
from tui import format
from tui.job.curves import Curves
from tui.theme import DIM, GREEN, SURFACE, TEXT

LINE_RGB = (118, 185, 0)
INK_RGB = (105, 117, 110)
GROUND_RGB = tuple(int(SURFACE[at : at + 2], 16) for at in (1, 3, 5))
MOST_TICKS = 10


class MetricPlot(PlotextPlot):
    """One curve."""

    def draw(self, epochs: list[int], values: list[float]) -> None:
        """Show these points."""
        plot = self.plt
        plot.clear_figure()
        plot.canvas_color(GROUND_RGB)
        plot.axes_color(GROUND_RGB)
        plot.ticks_color(INK_RGB)
        plot.grid(False, False)
        plot.xaxes(True, False)
        plot.yaxes(True, False)
        if epochs:
            if len(epochs) == 1:
                plot.scatter(epochs, values, marker="●", color=LINE_RGB)
            else:
                plot.plot(epochs, values, marker="braille", color=LINE_RGB)
            plot.xticks(ticks(epochs))
        self.refresh()


def ticks(epochs: list[int]) -> list[int]:
    """Whole epochs to write under the axis, ten or so."""
    first, last = epochs[0], epochs[-1]
    step = max(1, -(-(last - first) // MOST_TICKS))
    return list(range(first, last + 1, step))


class KpiPane(Vertical):
    """Keeps the curves of the selected job, and draws the one that was chosen."""

    def __init__(self) -> None:
        super().__init__(id="kpis")
        self.curves = Curves()
        self._job_id: str | None = None
        self._chosen: str | None = None

    def compose(self) -> ComposeResult:
        with Horizontal(id="kpi-body"):
            yield OptionList(id="metrics", compact=True)
            with Vertical(id="kpi-plot"):
                yield Static(id="kpi-head")
                yield MetricPlot(id="plot")
        yield Static("", id="kpi-empty", classes="empty")

    def on_mount(self) -> None:
        self.clear()

    @property
    def chosen(self) -> str | None:
        """The metric that is drawn."""
        return self._chosen

    def clear(self) -> None:
        """Show nothing: another job is coming."""
        self._job_id, self.curves, self._chosen = None, Curves(), None
        self._list()
        self._draw()

    def show(self, detail: JobDetail) -> None:
        """Show the curves of a job; the chosen metric stays when it has that too."""
        self._job_id, self.curves = detail.job.id, Curves.of(detail.job)
        self._list()
        self._draw()

    def feed(self, update: StatusUpdate) -> None:
        """Let the curve grow."""
        if update.job_id == self._job_id and self.curves.feed(update):
            self._list()
            self._draw()

    def next_metric(self) -> None:
        """Draw the next of the metrics."""
        metrics = self.curves.metrics
        if metrics:
            at = metrics.index(self._chosen) if self._chosen in metrics else -1
            self._chosen = metrics[(at + 1) % len(metrics)]
            self._list()
            self._draw()

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option.id is not None and event.option.id != self._chosen:
            self._chosen = event.option.id
            self._draw()

    @on(OptionList.OptionSelected)
    async def _entered(self, event: OptionList.OptionSelected) -> None:
        """The list of metrics takes the enter key; elsewhere it zooms, so here too."""
        event.stop()
        await self.run_action("screen.zoom")

    def _list(self) -> None:
        metrics = self.curves.metrics
        if self._chosen not in metrics:
            self._chosen = metrics[0] if metrics else None
        options = self.query_one("#metrics", OptionList)
        with self.prevent(OptionList.OptionHighlighted):
            if [option.id for option in options.options] != metrics:
                options.clear_options()
                options.add_options([Option(self._entry(metric), id=metric) for metric in metrics])
            else:
                for metric in metrics:
                    options.replace_option_prompt(metric, self._entry(metric))
            if self._chosen is not None:
                options.highlighted = metrics.index(self._chosen)

    def _entry(self, metric: str) -> Text:
        values = self.curves.series(metric)[1]
        text = Text(f"{metric[:18]:<18} ", style=TEXT, no_wrap=True, overflow="ellipsis")
        return text.append(format.number(values[-1] if values else None).rjust(9), style=GREEN)

    def _draw(self) -> None:
        has = self._chosen is not None
        self.query_one("#kpi-body").display = has
        empty = self.query_one("#kpi-empty", Static)
        empty.display = not has
        if self._chosen is None:
            empty.update("No metrics yet." if self._job_id else "")
            return
        epochs, values = self.curves.series(self._chosen)
        self.query_one("#kpi-head", Static).update(self._head(self._chosen, epochs, values))
        self.query_one(MetricPlot).draw(epochs, values)

    def _head(self, metric: str, epochs: list[int], values: list[float]) -> Text:
        text = Text(metric, style=f"bold {TEXT}", no_wrap=True, overflow="ellipsis")
        text.append("  last ", style=DIM)
        text.append(format.number(values[-1]), style=GREEN)
        text.append(f" at epoch {epochs[-1]}", style=DIM)
        best = self.curves.best(metric)
        if best is not None and best[0] != epochs[-1]:
            text.append("  best ", style=DIM)
            text.append(format.number(best[1]), style=TEXT)
            text.append(f" at epoch {best[0]}", style=DIM)
        return text
