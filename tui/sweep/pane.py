"""The tab of a sweep's trials: the table, the best so far, what matters, and the plots; live while it is in front."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import Resize
from textual.message import Message
from textual.widgets import DataTable, Static

from taod.client import AsyncClient, ClientError, NoDaemon
from taod.types.job import JobDetail, JobView
from taod.types.sweep import SweepView, TrialView
from tui import format
from tui.lazy_plot import LazyPlot
from tui.live import Live, delivery
from tui.refresher import Refresher
from tui.screens.confirm import Confirm
from tui.sweep import trial_view
from tui.sweep.parallel import ParallelPlot
from tui.sweep.table import TrialTable

PAUSE_S = 0.3
"""At least this long between two readings of the sweep."""
SIDES = ("parallel", "values", "matters")
ROOM_FOR_ALL = 30
"""Lines from which all of them are shown under each other."""
BESIDE_WIDTH = 100
"""Cells from which they stand beside the table."""


class TrialsPane(Live, Vertical):
    """Reads the sweep when it is opened and when one of its trials changes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "order", "Order", tooltip="Order the trials by number, or the best first"),
        Binding("v", "side", "View", tooltip="Parameters against the metric, values by trial, what matters"),
        Binding("x", "finish", "Stop early", tooltip="End the sweep now and keep the best, after a question"),
        Binding("s", "save", "Save CSV", tooltip="Save the trials as CSV here, where the dashboard was started"),
    ]

    class Opened(Message):
        """The reader wants to see a trial's own job."""

        def __init__(self, job_id: str) -> None:
            super().__init__()
            self.job_id = job_id

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(id="trials")
        self._client = client
        self._detail: JobDetail | None = None
        self._stale = True
        """Whether something changed since the sweep was read."""
        self._sweep_reads = Refresher(self, self._read, group="sweep", pause_s=PAUSE_S)
        self.sweep: SweepView | None = None
        self.order = trial_view.ORDERS[0]
        self.side = SIDES[0]
        self.in_front = False

    def compose(self) -> ComposeResult:
        yield Static(id="sweep-head")
        with Horizontal(id="sweep-body"):
            yield TrialTable()
            with Vertical(id="sweep-sides"):
                yield ParallelPlot()
                yield LazyPlot("tui.sweep.plot.ValuePlot", "values")
                with VerticalScroll(id="matters", can_focus=False):
                    yield Static(id="matters-text")

    def on_mount(self) -> None:
        self._lay_out()

    def on_resize(self, event: Resize) -> None:
        self._lay_out()

    @property
    def table(self) -> TrialTable:
        return self.query_one(TrialTable)

    @property
    def chosen(self) -> TrialView | None:
        """The trial under the cursor."""
        key = self.table.selected_id if self.is_ready and self.table.row_count else None
        trials = self.sweep.trials if self.sweep is not None else []
        return next((trial for trial in trials if str(trial.number) == key), None)

    @delivery
    def clear(self) -> None:
        """Another job is coming."""
        self._detail, self.sweep, self._stale = None, None, True
        self._sweep_reads.cancel()
        self.table.show({})
        self._draw()

    @delivery
    def show(self, detail: JobDetail) -> None:
        """The sweep's job, as it is now; read when the tab is in front."""
        self._detail = detail if detail.job.trials is not None else None
        self._want()

    @delivery
    def opened(self) -> None:
        """The tab is in front."""
        self.in_front = True
        if self._stale:
            self._want()

    @delivery
    def changed(self, view: JobView) -> None:
        """A job has changed, of this sweep or not."""
        if self._detail is not None and self._detail.job.id in (view.id, view.sweep_id):
            self._want()

    def _want(self) -> None:
        self._stale = True
        if self.in_front and self._detail is not None:
            self._sweep_reads.request()

    async def _read(self) -> None:
        detail = self._detail
        if detail is None:
            return
        self._stale = False
        try:
            sweep = await self._client.sweeps.get(detail)
        except NoDaemon:
            self._stale = True
        except ClientError as error:
            self.query_one("#sweep-head", Static).update(Text(error.description))
        else:
            if self._detail is not None and self._detail.job.id == detail.job.id:
                self.sweep = sweep
                self._fill()

    def _fill(self) -> None:
        if self.sweep is not None:
            worth = trial_view.worth(self.sweep)
            self.table.lay_out(trial_view.columns(self.sweep))
            self.table.show(
                {
                    str(trial.number): trial_view.row(self.sweep, trial, worth.get(trial.number))
                    for trial in trial_view.ordered(self.sweep, self.order)
                }
            )
        self._draw()

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._draw_plots()

    @on(DataTable.RowSelected)
    def _entered(self, event: DataTable.RowSelected) -> None:
        event.stop()
        trial = self.chosen
        if trial is not None and trial.job_id is not None:
            self.post_message(self.Opened(trial.job_id))
        elif trial is not None:
            self.notify(f"The job of trial {trial.number} was deleted.", severity="warning")

    def _draw(self) -> None:
        self.query_one("#sweep-head", Static).update(trial_view.head(self.sweep) if self.sweep is not None else "")
        self.query_one("#matters-text", Static).update(trial_view.matters(self.sweep) if self.sweep is not None else "")
        self._draw_plots()

    def _draw_plots(self) -> None:
        chosen = self.chosen
        number = chosen.number if chosen is not None else None
        self.query_one(ParallelPlot).draw(self.sweep, number)
        self.query_one(LazyPlot).draw(self.sweep, number)

    def _lay_out(self) -> None:
        """All three where there is room, else the one that was chosen."""
        beside = self.size.width >= BESIDE_WIDTH
        self.set_class(beside, "-beside-table")
        lines = self.size.height if beside else self.size.height // 2
        for name in SIDES:
            self.query_one(f"#{name}").display = lines >= ROOM_FOR_ALL or name == self.side

    def action_order(self) -> None:
        self.order = trial_view.ORDERS[(trial_view.ORDERS.index(self.order) + 1) % len(trial_view.ORDERS)]
        self._fill()

    def action_side(self) -> None:
        self.side = SIDES[(SIDES.index(self.side) + 1) % len(SIDES)]
        self._lay_out()

    @work(group="ask", exclusive=True)
    async def action_finish(self) -> None:
        detail, sweep = self._detail, self.sweep
        if detail is None or sweep is None:
            return
        if sweep.state.ended:
            self.notify("The sweep has ended.", severity="warning")
            return
        going = sum(trial.outcome == "open" for trial in sweep.trials)
        kept = (
            f"Trial {sweep.best} is its model" if sweep.best is not None else "No trial has a value yet: it will fail"
        )
        told = f"{kept}. {going} open trial{'' if going == 1 else 's'} will be cancelled." if going else f"{kept}."
        if not await self.app.push_screen_wait(Confirm("Stop the sweep early?", told, "Stop sweep", "Keep searching")):
            return
        try:
            await self._client.sweeps.finish(detail)
        except ClientError as error:
            self.notify(error.description, title="It goes on", severity="error", timeout=10, markup=False)

    @work(group="save")
    async def action_save(self) -> None:
        if self._detail is None:
            return
        into = Path.cwd() / f"sweep-{format.short(self._detail.job.id)}.csv"
        try:
            text = await self._client.sweeps.csv(self._detail)
            await asyncio.to_thread(into.write_text, text)
        except (ClientError, OSError) as error:
            self.notify(str(error), title="It could not be saved", severity="error", timeout=10, markup=False)
        else:
            self.notify(str(into), title="Saved", markup=False)
