"""The main screen: puts the parts together, carries messages between them, and does what the keys ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

from rich.markup import escape
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer

from taod.client import Client, ClientError, NoDaemon
from taod.client.events import Rediscover
from taod.types.device import Device
from taod.types.job import JobView
from taod.types.state import State
from tui import feed, format
from tui.devices.panel import DevicesPanel
from tui.header import HeaderBar
from tui.job.panel import TABS, JobPanel
from tui.jobs.filters import CHOICES
from tui.jobs.panel import JobsPanel
from tui.screens.confirm import TRAINING, Confirm, cancel_question
from tui.screens.help import Help

GATHER_S = 0.2
"""Counts are read once for all events that come within this time."""
RESUMABLE = frozenset({State.PAUSED, State.CANCELLED, State.FAILED})


class MainScreen(Screen[None]):
    """Devices, jobs, and the selected job."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "cancel", "Cancel", tooltip="Cancel the job, after a question"),
        Binding("p", "pause", "Pause", tooltip="Pause a running training; its checkpoints are kept"),
        Binding("r", "resume", "Resume", tooltip="Resume a paused, cancelled or failed training"),
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Filter by id, model, network or action"),
        Binding("enter", "zoom", "Zoom", tooltip="Give the selected job the whole screen, or take it back"),
        Binding("l", "tab('log')", "Log", show=False, tooltip="Log of the job"),
        Binding("k", "tab('kpis')", "KPIs", show=False, tooltip="Metrics of the job over its epochs"),
        Binding("d", "tab('details')", "Details", show=False, tooltip="Details of the job"),
        Binding("m", "metric", "Metric", show=False, tooltip="Draw the next metric"),
        *(
            Binding(str(number), f"status({number - 1})", str(status or "All"), show=False, tooltip=told)
            for number, (status, told) in enumerate(
                ((status, f"Only {status} jobs" if status else "Jobs of every status") for status in CHOICES), 1
            )
        ),
        Binding("tab", "app.focus_next", "Next part", show=False),
        Binding("shift+tab", "app.focus_previous", "Part before", show=False),
        Binding("escape", "back", "Back", show=False, tooltip="Leave the zoom, the filter or the job"),
        Binding("question_mark", "help", "Help", key_display="?", tooltip="These keys"),
        Binding("q", "app.quit", "Quit", tooltip="Quit; jobs go on"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (190, "-beside")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012

    def __init__(self, client: Client, rediscover: Rediscover | None = None) -> None:
        super().__init__()
        self._client = client
        self._feed = feed.Feed(client, self.post_message, rediscover)
        self._was_away = False

    def compose(self) -> ComposeResult:
        yield HeaderBar(self._client.url)
        yield DevicesPanel()
        with Container(id="body"):
            yield JobsPanel(self._client)
            yield JobPanel(self._client)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.jobs.table.focus()
        self.run_worker(self._feed.run(), group="feed")

    @property
    def jobs(self) -> JobsPanel:
        return self.query_one(JobsPanel)

    @property
    def job(self) -> JobPanel:
        return self.query_one(JobPanel)

    @property
    def header(self) -> HeaderBar:
        return self.query_one(HeaderBar)

    # What the daemon tells

    @on(feed.Connected)
    def _connected(self) -> None:
        self.header.connection(True, self._client.url)
        if self._was_away:
            self._was_away = False
            self.notify("The daemon is back.")
        self._read_everything()

    @on(feed.Disconnected)
    def _disconnected(self, event: feed.Disconnected) -> None:
        self.header.connection(False, self._client.url)
        reason = f"{event.reason[:1].upper()}{event.reason[1:]}"
        self.jobs.lost(reason)
        if not self._was_away:
            self._was_away = True
            self.notify(escape(reason), title="The daemon is away", severity="warning")

    @on(feed.Refused)
    def _refused(self, event: feed.Refused) -> None:
        self.header.connection(False, self._client.url)
        self.jobs.lost(event.error.description)
        self._complain(event.error)

    @on(feed.EventsMissed)
    def _missed(self) -> None:
        self._read_everything()

    @on(feed.JobChanged)
    def _job_changed(self, event: feed.JobChanged) -> None:
        before = self.jobs.changed(event.view)
        self.job.changed(event.view)
        if before is None or before.state is not event.view.state:
            self._read_counts()
            self.refresh_bindings()
        if before is not None and event.view.state.ended and not before.state.ended:
            self._announce(event.view)

    @on(feed.JobGone)
    def _job_gone(self, event: feed.JobGone) -> None:
        self.jobs.gone(event.job_id)
        self._read_counts()

    @on(feed.StatusLine)
    def _status_line(self, event: feed.StatusLine) -> None:
        self.job.feed(event.update)

    @on(feed.DevicesChanged)
    async def _devices_changed(self, event: feed.DevicesChanged) -> None:
        await self._show_devices(event.devices)

    @work(group="everything", exclusive=True)
    async def _read_everything(self) -> None:
        """Devices, counts and jobs; the selected job is shown anew."""
        try:
            devices, counts, _ = await asyncio.gather(
                self._client.devices(), self._client.job_counts(), self.jobs.reload()
            )
        except ClientError as error:
            if error.status:  # without an answer the feed tells of it
                self._complain(error)
            return
        if not self.app.is_running:
            return
        await self._show_devices(devices)
        self._show_counts(counts)
        self.job.show(self.jobs.selected)

    @work(group="counts", exclusive=True)
    async def _read_counts(self) -> None:
        await asyncio.sleep(GATHER_S)
        try:
            counts = await self._client.job_counts()
        except ClientError as error:
            if error.status:
                self._complain(error)
            return
        if self.app.is_running:
            self._show_counts(counts)

    async def _show_devices(self, devices: list[Device]) -> None:
        panel = self.query_one(DevicesPanel)
        await panel.show(devices)
        self.jobs.table.name_devices(panel.names)
        self.job.name_devices(panel.names)

    def _show_counts(self, counts: dict[State, int]) -> None:
        self.header.show_counts(counts)
        self.jobs.show_counts(counts)

    def _announce(self, view: JobView) -> None:
        """Say that a job has ended."""
        name = f"{view.action} {format.short(view.id)} of {view.owner_name}"
        if view.state is State.DONE:
            value = f": {view.metric} {format.number(view.metric_value)}" if view.metric_value is not None else ""
            self.notify(escape(f"{name}{value}"), title="Done")
        elif view.state is State.FAILED:
            self.notify(escape(f"{name}\n{view.reason}"), title="Failed", severity="error", timeout=12)
        else:
            self.notify(escape(f"{name}\n{view.reason}"), title="Cancelled", severity="warning")

    def _complain(self, error: ClientError) -> None:
        """Show what the daemon said, or that it says nothing."""
        title = "The daemon is away" if isinstance(error, NoDaemon) else "The daemon refuses"
        self.notify(escape(error.description), title=title, severity="error", timeout=10)

    # What the parts tell

    @on(JobsPanel.Selected)
    def _selected(self, event: JobsPanel.Selected) -> None:
        self.job.show(event.view)
        self.refresh_bindings()

    @on(JobsPanel.Opened)
    def _opened(self) -> None:
        self.action_zoom()

    @on(JobsPanel.Failed)
    @on(JobPanel.Failed)
    def _failed(self, event: JobsPanel.Failed | JobPanel.Failed) -> None:
        self._complain(event.error)

    # What the keys ask

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what the selected job does not allow."""
        if action in ("cancel", "pause", "resume"):
            view = self.jobs.selected
            if view is None:
                return None
            allowed = {
                "cancel": not view.state.ended and view.state is not State.STOPPING,
                "pause": view.state is State.RUNNING and view.action in TRAINING,
                "resume": view.state in RESUMABLE and view.action in TRAINING,
            }
            return True if allowed[action] else None
        return True

    @work(group="ask", exclusive=True)
    async def action_cancel(self) -> None:
        view = self.jobs.selected
        if view is None:
            return
        try:
            waiting = await self._waiting_for(view.id)
        except ClientError as error:
            self._complain(error)
            return
        question, consequence = cancel_question(self.jobs.book.views.get(view.id, view), waiting)
        if await self.app.push_screen_wait(Confirm(question, consequence, "Cancel it", "Leave it")):
            await self._do(self._client.cancel, view)

    @work(group="act")
    async def action_pause(self) -> None:
        if (view := self.jobs.selected) is not None:
            await self._do(self._client.pause, view)

    @work(group="act")
    async def action_resume(self) -> None:
        if (view := self.jobs.selected) is not None:
            await self._do(self._client.resume, view)

    async def _do(self, verb: Callable[[str], Awaitable[JobView]], view: JobView) -> None:
        """Ask the daemon; its answer is shown at once, as an event would be."""
        try:
            self.post_message(feed.JobChanged(await verb(view.id)))
        except ClientError as error:
            self._complain(error)

    async def _waiting_for(self, job_id: str) -> int:
        """How many jobs that have not ended wait for this one, directly or not."""
        waiting, to_read, seen = 0, [job_id], {job_id}
        while to_read:
            details = await asyncio.gather(*(self._client.job(each) for each in to_read))
            waiting += sum(not detail.job.state.ended for detail in details if detail.job.id != job_id)
            to_read = [child for detail in details for child in detail.children if child not in seen]
            seen.update(to_read)
        return waiting

    def action_filter(self) -> None:
        self.set_class(False, "-zoomed")
        self.jobs.filters.start_typing()

    def action_status(self, choice: int) -> None:
        self.jobs.filters.choose(CHOICES[choice])

    def action_zoom(self) -> None:
        self.toggle_class("-zoomed")
        if self.has_class("-zoomed"):
            self.job.focus_tab()
        else:
            self.jobs.table.focus()

    def action_tab(self, name: str) -> None:
        if name in TABS:
            self.job.open(name)

    def action_metric(self) -> None:
        self.job.kpis.next_metric()

    def action_back(self) -> None:
        """One step out: of the zoom, of the job, of the filter."""
        if self.has_class("-zoomed"):
            self.set_class(False, "-zoomed")
        elif not self.job.has_focus_within or self.jobs.filters.has_focus_within:
            self.jobs.filters.reset()
        self.jobs.table.focus()

    def action_help(self) -> None:
        self.app.push_screen(Help(binding for binding in self.BINDINGS if isinstance(binding, Binding)))
