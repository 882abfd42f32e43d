"""The page of jobs: puts the parts together, carries messages between them, and does what the keys ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from taod.client import Client, ClientError
from taod.types.device import Device
from taod.types.job import JobView
from taod.types.state import State
from tui import feed
from tui.devices.panel import DevicesPanel
from tui.job.panel import TABS, JobPanel
from tui.jobs.filters import CHOICES
from tui.jobs.panel import JobsPanel
from tui.screens.confirm import TRAINING, Confirm, cancel_question
from tui.screens.page import Page

RESUMABLE = frozenset({State.PAUSED, State.CANCELLED, State.FAILED})


class MainScreen(Page):
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
        Binding("escape", "back", "Back", show=False, tooltip="Leave the zoom, the filter or the job"),
    ]
    NAME = "jobs"

    def __init__(self) -> None:
        super().__init__()
        self._client: Client = self.dashboard.client

    def parts(self) -> ComposeResult:
        yield DevicesPanel()
        with Container(id="body"):
            yield JobsPanel(self._client)
            yield JobPanel(self._client)

    def ready(self) -> None:
        self.jobs.table.focus()

    @property
    def jobs(self) -> JobsPanel:
        return self.query_one(JobsPanel)

    @property
    def job(self) -> JobPanel:
        return self.query_one(JobPanel)

    # What the daemon tells

    def reload(self) -> None:
        self._read_everything()

    def go_to(self, job_id: str) -> None:
        """Select a job, now or when the list has it."""
        self.jobs.go_to(job_id)

    def lost(self, reason: str) -> None:
        self.jobs.lost(reason)

    @on(feed.JobChanged)
    def _job_changed(self, event: feed.JobChanged) -> None:
        before = self.jobs.changed(event.view)
        self.job.changed(event.view)
        if before is None or before.state is not event.view.state:
            self.refresh_bindings()

    @on(feed.JobGone)
    def _job_gone(self, event: feed.JobGone) -> None:
        self.jobs.gone(event.job_id)

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
            devices, _ = await asyncio.gather(self._client.devices(), self.jobs.reload())
        except ClientError as error:
            if error.status:  # without an answer the feed tells of it
                self.complain(error)
            return
        if not self.app.is_running:
            return
        await self._show_devices(devices)
        self.job.show(self.jobs.selected)

    async def _show_devices(self, devices: list[Device]) -> None:
        panel = self.query_one(DevicesPanel)
        await panel.show(devices)
        self.jobs.table.name_devices(panel.names)
        self.job.name_devices(panel.names)

    @on(feed.CountsChanged)
    def _show_counts(self, event: feed.CountsChanged) -> None:
        self.jobs.show_counts(event.counts)

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
        self.complain(event.error)

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
            self.complain(error)
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
            self.app.post_message(feed.JobChanged(await verb(view.id)))
        except ClientError as error:
            self.complain(error)

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
