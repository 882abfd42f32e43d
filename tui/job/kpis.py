"""The tab of metrics: curves of one job over its epochs, compared with other jobs, and values by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from taod.client import AsyncClient, ClientError
from taod.client.curves import Curves
from taod.types.event import StatusUpdate
from taod.types.job import Categorical, JobDetail, JobView
from tui import format
from tui.job.classes import chosen_classes, class_head, class_table
from tui.job.plot import Line
from tui.lazy_plot import LazyPlot
from tui.live import LiveNode, delivery
from tui.refresher import Refresher
from tui.theme import BLUE, DIM, GREEN, ORANGE, RED, TEAL, TEXT, YELLOW

COLOURS = (GREEN, BLUE, ORANGE, TEAL, YELLOW, RED)
MOST_COMPARED = 5
DRAW_EVERY_S = 0.2
"""Shortest interval between two drawings of growing curves."""
CLASSES_AFTER_S = 0.5
"""Delay from the first status line of an epoch to the reading of its values by class."""


class KpiPane(LiveNode, Vertical):
    """Keeps the curves of the selected job and draws the chosen metric."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "beside", "Beside", tooltip="Draw the metric together with the others, or remove it"),
    ]

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(id="kpis")
        self._client = client
        self.curves = Curves()
        self._job_id: str | None = None
        self._chosen: str | None = None
        self._beside: set[str] = set()
        """Metrics drawn together with the chosen one."""
        self._others: dict[str, Curves] = {}
        """Curves of marked jobs, by id."""
        self._names: dict[str, str] = {}
        """Names of the marked jobs, by id."""
        self._categories: list[Categorical] = []
        self._drawing = False
        """Whether a drawing is scheduled."""
        self._class_reads = Refresher(self, self._read_classes, group="classes", delay_s=CLASSES_AFTER_S)

    def compose(self) -> ComposeResult:
        with Horizontal(id="kpi-body"):
            yield OptionList(id="metrics", compact=True)
            with Vertical(id="kpi-plot"):
                yield Static(id="kpi-head")
                yield LazyPlot("tui.job.plot.MetricPlot", "plot")
                with VerticalScroll(id="kpi-classes"):
                    yield Static("", id="class-head")
                    yield Static("", id="class-values")
        yield Static("", id="kpi-empty", classes="empty")

    def on_mount(self) -> None:
        self.clear()

    @property
    def chosen(self) -> str | None:
        """The chosen metric."""
        return self._chosen

    @delivery
    def clear(self) -> None:
        """Show nothing until the next job is shown."""
        self._job_id, self.curves, self._chosen, self._categories = None, Curves(), None, []
        self._list()
        self._draw()

    @delivery
    def show(self, detail: JobDetail) -> None:
        """Show the curves of a job; keep the chosen metric if the job has it."""
        self._job_id, self.curves = detail.job.id, Curves.from_job(detail.job)
        self._categories = detail.job.result.categorical
        self._list()
        self._draw()

    @delivery
    def feed(self, update: StatusUpdate) -> None:
        """Add the values of a status line to the curves."""
        curves = self.curves if update.job_id == self._job_id else self._others.get(update.job_id)
        if curves is None or not curves.feed(update):
            return
        if update.job_id == self._job_id:
            self._class_reads.request()
        if not self._drawing:
            self._drawing = True
            self.set_timer(DRAW_EVERY_S, self._grown)

    def _grown(self) -> None:
        self._drawing = False
        self._list()
        self._draw()

    @delivery
    def next_metric(self) -> None:
        """Choose the next metric."""
        metrics = self.curves.metrics
        if metrics:
            at = metrics.index(self._chosen) if self._chosen in metrics else -1
            self._chosen = metrics[(at + 1) % len(metrics)]
            self._list()
            self._draw()

    def action_beside(self) -> None:
        """Draw the chosen metric together with others, or stop that."""
        if self._chosen is not None:
            self._beside ^= {self._chosen}
            self._list()
            self._draw()

    @delivery
    def compare_with(self, others: Sequence[JobView]) -> None:
        """Also draw the chosen metric of these jobs."""
        self._read_others([view.id for view in others[:MOST_COMPARED]])

    @work(group="others", exclusive=True)
    async def _read_others(self, job_ids: list[str]) -> None:
        found: dict[str, Curves] = {}
        names: dict[str, str] = {}
        for job_id in job_ids:
            try:
                detail = await self._client.jobs.get(job_id)
            except ClientError:
                continue
            found[job_id], names[job_id] = Curves.from_job(detail.job), f"{detail.job.action} {format.short(job_id)}"
        self._others, self._names = found, names
        self._draw()

    async def _read_classes(self) -> None:
        """Status lines have no values by class: they are read after each epoch."""
        job_id = self._job_id
        if job_id is None:
            return
        try:
            detail = await self._client.jobs.get(job_id)
        except ClientError:
            return  # the values of the last epoch stay
        if job_id == self._job_id:
            self._categories = detail.job.result.categorical
            self._draw()

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option.id is not None and event.option.id != self._chosen:
            self._chosen = event.option.id
            self._draw()

    @on(OptionList.OptionSelected)
    async def _entered(self, event: OptionList.OptionSelected) -> None:
        """The list of metrics handles the enter key; zoom, as the key does in other tabs."""
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
        mark = "▸" if metric in self._beside else " "
        text = Text(f"{mark}{metric[:18]:<18} ", style=TEXT, no_wrap=True, overflow="ellipsis")
        return text.append(format.number(values[-1] if values else None).rjust(9), style=GREEN)

    def _draw(self) -> None:
        has = self._chosen is not None
        self.query_one("#kpi-body").display = has
        empty = self.query_one("#kpi-empty", Static)
        empty.display = not has
        if self._chosen is None:
            empty.update("No metrics yet." if self._job_id else "")
            return
        lines = self._lines(self._chosen)
        self.query_one("#kpi-head", Static).update(self._head(self._chosen, lines))
        self.query_one(LazyPlot).draw(lines)
        classes = chosen_classes(self._chosen, self._categories)
        self.query_one("#kpi-classes").display = classes is not None
        if classes is not None:
            self.query_one("#class-head", Static).update(class_head(classes))
            self.query_one("#class-values", Static).update(class_table(classes))

    def _lines(self, chosen: str) -> list[Line]:
        """The chosen metric, the metrics beside it, and the chosen metric of the other jobs."""
        named = [chosen, *(metric for metric in self.curves.metrics if metric in self._beside and metric != chosen)]
        series = [(metric, *self.curves.series(metric)) for metric in named]
        series += [(self._names[job_id], *curves.series(chosen)) for job_id, curves in self._others.items()]
        return [
            Line(name, epochs, values, COLOURS[number % len(COLOURS)])
            for number, (name, epochs, values) in enumerate(series)
            if epochs
        ]

    def _head(self, metric: str, lines: Sequence[Line]) -> Text:
        """For one curve its last and best value; for several, a legend."""
        text = Text(no_wrap=True, overflow="ellipsis")
        if len(lines) > 1:
            for line in lines:
                text.append(f"{line.name} ", style=f"bold {line.colour}")
                text.append(f"{format.number(line.values[-1])}   ", style=TEXT)
            return text
        epochs, values = self.curves.series(metric)
        text.append(metric, style=f"bold {TEXT}")
        text.append("  last ", style=DIM)
        text.append(format.number(values[-1]), style=GREEN)
        text.append(f" at epoch {epochs[-1]}", style=DIM)
        best = self.curves.best(metric)
        if best is not None and best[0] != epochs[-1]:
            text.append("  best ", style=DIM)
            text.append(format.number(best[1]), style=TEXT)
            text.append(f" at epoch {best[0]}", style=DIM)
        return text
