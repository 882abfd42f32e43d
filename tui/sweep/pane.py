"""The tab of a sweep's trials: table, best trial, importances and plots; updated while it is open."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
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
from tui.lists.table import RowTable
from tui.live import LiveNode, delivery
from tui.refresher import Refresher
from tui.screens.confirm import Confirm
from tui.sweep import trial_view
from tui.sweep.parallel import ParallelPlot

PAUSE_S = 0.3
"""Shortest interval between two readings of the sweep."""
SIDES = ("parallel", "values", "matters")
ROOM_FOR_ALL = 30
"""Height in lines from which all plots are shown below each other."""
BESIDE_WIDTH = 100
"""Width in cells from which the plots are beside the table."""


class TrialTable(RowTable):
    """Rows by the trial's number."""

    def __init__(self) -> None:
        super().__init__((), id="trials-table")

    @delivery
    def lay_out(self, columns: Sequence[tuple[str, str, int]]) -> None:
        """Set the columns; a change empties the table."""
        if list(columns) == list(self._columns):
            return
        self.clear(columns=True)
        self._columns = columns
        for key, title, width in columns:
            self.add_column(title, width=width or 10, key=key)
        self.on_resize()


class TrialsPane(LiveNode, Vertical):
    """Reads the sweep when the tab is opened and when one of its trials changes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "order", "Order", tooltip="Order the trials by number or by value, best first"),
        Binding("v", "side", "View", tooltip="Next plot: parameters and metric, values by trial, importances"),
        Binding("x", "finish", "Stop early", tooltip="Stop the sweep and keep the best trial (asks first)"),
        Binding(
            "s", "save", "Save CSV", tooltip="Save the trials as CSV in the folder that the dashboard was started in"
        ),
    ]

    class Opened(Message):
        """The user opened the job of a trial."""

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
        """The selected trial."""
        key = self.table.selected_id if self.is_ready and self.table.row_count else None
        trials = self.sweep.trials if self.sweep is not None else []
        return next((trial for trial in trials if str(trial.number) == key), None)

    @delivery
    def clear(self) -> None:
        """Show nothing until the next job is shown."""
        self._detail, self.sweep, self._stale = None, None, True
        self._sweep_reads.cancel()
        self.table.show({})
        self._draw()

    @delivery
    def show(self, detail: JobDetail) -> None:
        """Show the sweep of a job; it is read when the tab is open."""
        self._detail = detail if detail.job.trials is not None else None
        self._request_read()

    @delivery
    def opened(self) -> None:
        """The tab was opened."""
        self.in_front = True
        if self._stale:
            self._request_read()

    @delivery
    def changed(self, view: JobView) -> None:
        """A job changed; ignored if it is not of this sweep."""
        if self._detail is not None and self._detail.job.id in (view.id, view.sweep_id):
            self._request_read()

    def _request_read(self) -> None:
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
                self._show_sweep()

    def _show_sweep(self) -> None:
        if self.sweep is not None:
            ranks = trial_view.ranks(self.sweep)
            self.table.lay_out(trial_view.columns(self.sweep))
            self.table.show(
                {
                    str(trial.number): trial_view.row(self.sweep, trial, ranks.get(trial.number))
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
        self.query_one("#matters-text", Static).update(
            trial_view.importance_view(self.sweep) if self.sweep is not None else ""
        )
        self._draw_plots()

    def _draw_plots(self) -> None:
        chosen = self.chosen
        number = chosen.number if chosen is not None else None
        self.query_one(ParallelPlot).draw(self.sweep, number)
        self.query_one(LazyPlot).draw(self.sweep, number)

    def _lay_out(self) -> None:
        """Show all plots if there is room, otherwise the chosen one."""
        beside = self.size.width >= BESIDE_WIDTH
        self.set_class(beside, "-beside-table")
        lines = self.size.height if beside else self.size.height // 2
        for name in SIDES:
            self.query_one(f"#{name}").display = lines >= ROOM_FOR_ALL or name == self.side

    def action_order(self) -> None:
        self.order = trial_view.ORDERS[(trial_view.ORDERS.index(self.order) + 1) % len(trial_view.ORDERS)]
        self._show_sweep()

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
        open_trials = sum(trial.outcome == "open" for trial in sweep.trials)
        kept = (
            f"Trial {sweep.best} is its model"
            if sweep.best is not None
            else "No trial has a value yet, so the sweep will fail"
        )
        consequence = (
            f"{kept}. {open_trials} open trial{'' if open_trials == 1 else 's'} will be cancelled."
            if open_trials
            else f"{kept}."
        )
        if not await self.app.push_screen_wait(
            Confirm("Stop the sweep early?", consequence, "Stop sweep", "Keep searching")
        ):
            return
        try:
            await self._client.sweeps.finish(detail)
        except ClientError as error:
            self.notify(
                error.description, title="The sweep was not stopped", severity="error", timeout=10, markup=False
            )

    @work(group="save")
    async def action_save(self) -> None:
        if self._detail is None:
            return
        into = Path.cwd() / f"sweep-{format.short(self._detail.job.id)}.csv"
        try:
            text = await self._client.sweeps.csv(self._detail)
            await asyncio.to_thread(into.write_text, text)
        except (ClientError, OSError) as error:
            self.notify(str(error), title="Not saved", severity="error", timeout=10, markup=False)
        else:
            self.notify(str(into), title="Saved", markup=False)
