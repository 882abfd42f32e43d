"""The panel of jobs: filters, table, and a text when the list is empty."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from taod.client import AsyncClient, ClientError
from taod.client.transport import Page
from taod.types.job import JobView
from taod.types.state import State
from tui.jobs.filters import FilterBar
from tui.jobs.job_store import Filter, JobStore
from tui.jobs.order import KEYS, NAMES, SAME, Order
from tui.jobs.table import JobsTable
from tui.live import LiveNode, delivery

PAGE_JOBS = 200
REST_JOBS = 2_000
"""Page size when all remaining jobs are loaded."""
TYPING_PAUSE_S = 0.15
AGE_EVERY_S = 5.0
NO_JOBS = (
    "No jobs yet. To run one:\n\n"
    "[$primary]D[/] [$dim]upload a dataset[/]  [$primary]M[/] [$dim]create a model[/]  "
    "[$primary]t[/] [$dim]train it[/]\n"
    "[$primary]taod quickstart[/] [$dim]in a shell does all three with handwritten digits[/]"
)


class JobsPanel(LiveNode, Vertical):
    """Keeps the list current: a page of the API, then every event; more pages as the user scrolls."""

    class Selected(Message):
        """Another job was selected, or none."""

        def __init__(self, view: JobView | None) -> None:
            super().__init__()
            self.view = view

    class Opened(Message):
        """The user opened the selected job."""

    class Failed(Message):
        """A page could not be read."""

        def __init__(self, error: ClientError) -> None:
            super().__init__()
            self.error = error

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(id="jobs", classes="panel")
        self._client = client
        self.store = JobStore()
        self._published: str | None = None
        self._expected: str | None = None
        self._connected = False

    def compose(self) -> ComposeResult:
        yield FilterBar()
        yield JobsTable()
        yield Static("Reading jobs …", id="jobs-empty", classes="empty")

    def on_mount(self) -> None:
        self.border_title = "Jobs"
        self.table.trends = self.store.trends
        self.set_interval(AGE_EVERY_S, self.table.update_ages)
        self._show()

    @property
    def table(self) -> JobsTable:
        return self.query_one(JobsTable)

    @property
    def filters(self) -> FilterBar:
        return self.query_one(FilterBar)

    @property
    def selected(self) -> JobView | None:
        return self.store.views.get(self.table.selected_id or "")

    @property
    def marked(self) -> set[str]:
        """Ids of the marked jobs in the list."""
        return self.table.marked & self.store.views.keys()

    @property
    def targets(self) -> list[JobView]:
        """Jobs that keys act on: the marked ones in the order of the list, otherwise the selected one."""
        if marked := self.marked:
            return [view for view in self.store.views.values() if view.id in marked]
        return [self.selected] if self.selected is not None else []

    @delivery
    def mark(self) -> None:
        """Mark or unmark the selected job, and move the cursor to the next."""
        if (job_id := self.table.selected_id) is not None:
            self.table.mark(self.marked ^ {job_id})
            self.table.action_cursor_down()
        self._show()

    @delivery
    def mark_all(self) -> None:
        """Mark all loaded jobs."""
        self.table.mark(set(self.store.views))
        self._show()

    @delivery
    def unmark(self) -> None:
        """Remove all marks."""
        self.table.mark(set())
        self._show()

    async def fetch(self) -> tuple[Filter, Page[JobView]]:
        """Read as many jobs as are shown; returns the filter of the request, and the answer. Raises ClientError."""
        asked = self.store.filter
        page = await self._client.jobs.list(
            status=asked.status,
            text=asked.text or None,
            trials=asked.only,
            skip=0,
            size=max(PAGE_JOBS, len(self.store.views)),
        )
        return asked, page

    @delivery
    def take(self, asked: Filter, page: Page[JobView]) -> None:
        """Show the jobs of an answer and remove all others."""
        if asked is not self.store.filter:
            return
        self._connected = True
        first = not self.store.views
        there = {view.id for view in page.items}
        self._forget([known for known in self.store.views if known not in there])
        self.store.total = page.total
        self._put(page.items)
        running = next((view.id for view in page.items if view.state is State.RUNNING), None)
        if first and running is not None:
            self.table.select(running)

    @delivery
    def changed(self, view: JobView) -> JobView | None:
        """Update a job from an event; returns its last known view."""
        before = self.store.views.get(view.id)
        if not self.store.newer(view):
            return before
        if self.store.belongs(view):
            self.store.total += before is None
            self._put([view])
        elif before is not None:
            self.store.total -= 1
            self._forget([view.id])
            self._show()
        return before

    @delivery
    def go_to(self, job_id: str) -> None:
        """Select a job, now or when it is added to the list."""
        self._expected = job_id
        self._select_expected()

    def _select_expected(self) -> None:
        if self._expected in self.store.views:
            self.table.select(self._expected)
            self._expected = None

    @delivery
    def deleted(self, job_id: str) -> None:
        """A job was deleted."""
        if job_id in self.store.views:
            self.store.total -= 1
            self._forget([job_id])
            self._show()

    @delivery
    def connection_lost(self, reason: str) -> None:
        """The daemon does not answer."""
        self._connected = False
        self._show(reason)

    @delivery
    def show_counts(self, counts: Mapping[State, int]) -> None:
        self.filters.show_counts(counts)

    @on(FilterBar.Changed)
    def _filter(self, event: FilterBar.Changed) -> None:
        event.stop()
        if event.filter == self.store.filter:
            return
        self.store.filter = event.filter
        self._forget([view.id for view in self.store.views.values() if not event.filter.matches(view)])
        self.store.total = len(self.store.views)
        self._show()
        self._read_filtered()

    @work(group="page", exclusive=True)
    async def _read_filtered(self) -> None:
        await asyncio.sleep(TYPING_PAUSE_S)
        try:
            self.take(*await self.fetch())
        except ClientError as error:
            self.post_message(self.Failed(error))

    @on(JobsTable.NearEnd)
    def _near_end(self, event: JobsTable.NearEnd) -> None:
        event.stop()
        if len(self.store.views) < self.store.total and (event.whole or not self.is_working("page")):
            self._read_on(whole=event.whole)

    @work(group="page", exclusive=True)
    async def _read_on(self, whole: bool) -> None:
        """Read the next page; `whole`: all pages, and move the cursor to the last job."""
        asked = self.store.filter
        while len(self.store.views) < self.store.total:
            try:
                page = await self._client.jobs.list(
                    status=asked.status,
                    text=asked.text or None,
                    trials=asked.only,
                    skip=len(self.store.views),
                    size=REST_JOBS if whole else PAGE_JOBS,
                )
            except ClientError as error:
                self.post_message(self.Failed(error))
                return
            if asked is not self.store.filter:
                return
            known = len(self.store.views)
            self.store.total = page.total
            self._put(page.items)
            if not whole or len(self.store.views) == known:
                return
        if whole:
            self.table.action_bottom()

    # Order

    def order_by(self, column: str) -> None:
        """Order the list by a column, or reverse the order if it is ordered by it already."""
        self._order(self.table.order.by(column))

    def order_by_next(self) -> None:
        """Order the list by the column to the right."""
        self._order(self.table.order.after(self.table.columns))

    def reverse_order(self) -> None:
        """Reverse the order of the list."""
        self._order(self.table.order.by(self.table.order.column))

    def regroup(self) -> None:
        """Group the jobs by model or dataset, or stop grouping."""
        self._order(self.table.order.regrouped())

    def _order(self, order: Order) -> None:
        self.table.arrange_by(order)
        self._show()

    @on(JobsTable.HeadClicked)
    def _head_clicked(self, event: JobsTable.HeadClicked) -> None:
        event.stop()
        if SAME.get(event.column, event.column) in KEYS:
            self.order_by(event.column)

    @on(JobsTable.Moved)
    def _moved(self, event: JobsTable.Moved) -> None:
        event.stop()
        self._publish_selection()

    @on(JobsTable.Opened)
    def _entered(self, event: JobsTable.Opened) -> None:
        event.stop()
        self.post_message(self.Opened())

    def _publish_selection(self) -> None:
        """Post the selected job, once for each change."""
        view = self.selected
        job_id = view.id if view is not None else None
        if job_id != self._published:
            self._published = job_id
            self.post_message(self.Selected(view))

    def _put(self, views: list[JobView]) -> None:
        fresh = [view for view in views if self.store.newer(view)]
        for view in fresh:
            self.store.take(view)
        self.table.put(fresh)
        self._select_expected()
        self._show()

    def _forget(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            self.store.forget(job_id)
        self.table.drop(job_ids)

    def _show(self, trouble: str = "") -> None:
        """Draw the table or the text for an empty list, and the numbers in the border."""
        shown, total = len(self.store.views), self.store.total
        self.table.display = bool(shown)
        empty = self.query_one("#jobs-empty", Static)
        empty.display = not shown
        if not shown:
            empty.update(trouble or self._emptiness())
        counted = f"{shown} of {total}" if total > shown else f"{total}" if total else ""
        if shown and not self.table.order.is_default:
            counted = f"{self._ordered(all_loaded=total <= shown)} · {counted}"
        self.border_subtitle = f"[$warning]{len(self.marked)} marked[/] · {counted}" if self.marked else counted
        self._publish_selection()

    def _ordered(self, *, all_loaded: bool) -> str:
        """Description of the order. The daemon orders by date only, so other orders apply to the loaded jobs."""
        order = self.table.order
        by = NAMES[order.column] if order.column != "age" or order.is_reversed else ""
        words = " by ".join(part for part in ("grouped" if order.grouped else "", by) if part)
        words = words if order.grouped else f"by {words}"
        return words if all_loaded else f"{words} (loaded jobs only; [$primary]end[/] loads all)"

    def _emptiness(self) -> str:
        if not self._connected:
            return "Reading jobs …"
        if self.store.filter.text or self.store.filter.status:
            return "No job matches.\n\n[$dim]escape clears the filter[/]"
        return NO_JOBS
