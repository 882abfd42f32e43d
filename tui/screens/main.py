"""The page of jobs: devices, jobs, the selected job, and the actions of keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from rich.markup import escape
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from taod.client import AsyncClient, ClientError, NoDaemon
from taod.types.device import Device
from taod.types.job import JobPatch, JobView
from taod.types.state import State
from tui import feed
from tui.devices.panel import DevicesPanel
from tui.job.panel import TABS, JobPanel
from tui.jobs.filters import CHOICES
from tui.jobs.job_actions import REQUESTS, allowed, cancel_question, delete_question, named, why_not
from tui.jobs.panel import JobsPanel
from tui.live import delivery
from tui.screens.confirm import Confirm
from tui.screens.page import Page
from tui.sweep.pane import TrialsPane

PRIORITY_STEP = 10
MOST, LEAST = 100, -100
"""Highest and lowest priority."""


class MainScreen(Page):
    """Devices, jobs and the selected job."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "cancel", "Cancel", tooltip="Cancel the job (asks first)"),
        Binding("p", "pause", "Pause", tooltip="Pause a running training; its checkpoints are kept"),
        Binding("r", "resume", "Resume", tooltip="Resume a paused, cancelled or failed training"),
        Binding("space", "mark", "Mark", show=False, tooltip="Mark the job: keys act on all marked jobs"),
        Binding("asterisk", "mark_all", "Mark all", show=False, key_display="*", tooltip="Mark every job in the list"),
        Binding("h", "hold", "Hold", show=False, tooltip="Hold a job that has not started, or release it"),
        Binding("plus,equals_sign", "priority(1)", "Sooner", show=False, key_display="+", tooltip="Raise the priority"),
        Binding("minus", "priority(-1)", "Later", show=False, key_display="-", tooltip="Lower the priority"),
        Binding("u", "undo", "Undo", show=False, tooltip="Undo the last hold or change of priority"),
        Binding("R", "again", "Again", show=False, tooltip="Run its action again, with a dry run first"),
        Binding("x", "delete", "Delete", show=False, tooltip="Delete an ended job and its files (asks first)"),
        Binding(
            "slash",
            "filter",
            "Filter",
            key_display="/",
            priority=True,
            tooltip="Filter by id, model, network or action",
        ),
        Binding("o", "order", "Order", show=False, tooltip="Order the list by the next column"),
        Binding("O", "reverse", "Reverse", show=False, tooltip="Reverse the order of the list"),
        Binding("g", "group", "Group", show=False, tooltip="Group the jobs by model, or stop grouping"),
        Binding("enter", "zoom", "Zoom", tooltip="Show the selected job on the whole screen, or leave that"),
        Binding("l", "tab('log')", "Log", show=False, tooltip="Log of the job"),
        Binding("k", "tab('kpis')", "KPIs", show=False, tooltip="Metrics of the job over its epochs"),
        Binding("s", "tab('spec')", "Spec", show=False, tooltip="Specification of the job and comparisons"),
        Binding("f", "tab('files')", "Files", show=False, tooltip="Artifacts of the job"),
        Binding("d", "tab('details')", "Details", show=False, tooltip="Details of the job"),
        Binding("w", "trials", "Trials", show=False, tooltip="Trials of the sweep: table and plots"),
        Binding("T", "list_trials", "All trials", show=False, tooltip="List the trials of sweeps, or hide them"),
        Binding("m", "metric", "Metric", show=False, tooltip="Show the next metric"),
        *(
            Binding(str(number), f"status({number - 1})", str(status or "All"), show=False, tooltip=tooltip)
            for number, (status, tooltip) in enumerate(
                ((status, f"Only {status} jobs" if status else "Jobs of every status") for status in CHOICES), 1
            )
        ),
        Binding("escape", "back", "Back", show=False, tooltip="Leave the zoom, the job or the filter"),
    ]
    NAME = "jobs"

    def __init__(self) -> None:
        super().__init__()
        self._client: AsyncClient = self.dashboard.client
        self._undo: list[tuple[str, dict[str, JobPatch]]] = []
        """Description of each change, and the patches that undo it."""
        self._inside: str | None = None
        """Id of the trial that is shown instead of its sweep."""

    def parts(self) -> ComposeResult:
        yield DevicesPanel()
        with Container(id="body"):
            yield JobsPanel(self._client)
            yield JobPanel(self._client)

    def ready(self) -> None:
        self.set_focus(self.jobs.table)
        self.jobs.show_counts(self.dashboard.counts)

    @property
    def jobs(self) -> JobsPanel:
        return self.query_one(JobsPanel)

    @property
    def job(self) -> JobPanel:
        return self.query_one(JobPanel)

    # Events of the daemon

    def reload(self) -> None:
        self._read_everything()

    @delivery
    def go_to(self, job_id: str) -> None:
        """Select a job, now or when it is added to the list."""
        self.jobs.go_to(job_id)

    def connection_lost(self, reason: str) -> None:
        self.jobs.connection_lost(reason)

    @on(feed.JobChanged)
    def _job_changed(self, event: feed.JobChanged) -> None:
        before = self.jobs.changed(event.view)
        self.job.changed(event.view)
        if before is None or before.state is not event.view.state:
            self.refresh_bindings()

    @on(feed.JobDeleted)
    def _job_deleted(self, event: feed.JobDeleted) -> None:
        self.jobs.deleted(event.job_id)

    @on(feed.StatusLine)
    def _status_line(self, event: feed.StatusLine) -> None:
        self.job.feed(event.update)

    @on(feed.UsageChanged)
    def _usage_changed(self, event: feed.UsageChanged) -> None:
        self.job.used(event.usage)

    @on(feed.DevicesChanged)
    async def _devices_changed(self, event: feed.DevicesChanged) -> None:
        await self._show_devices(event.devices)

    @work(group="everything", exclusive=True)
    async def _read_everything(self) -> None:
        """Read devices and jobs, and show the selected job again."""
        try:
            devices, jobs = await asyncio.gather(self._client.devices.list(), self.jobs.fetch())
        except ClientError as error:
            if error.status:  # without an answer (0) the event stream reports the lost connection
                self.notify_error(error)
            return
        self.jobs.take(*jobs)
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

    # Messages of the panels

    @on(JobsPanel.Selected)
    def _selected(self, event: JobsPanel.Selected) -> None:
        self._inside = None
        self.job.show(event.view)
        self.refresh_bindings()

    @on(TrialsPane.Opened)
    @work(group="trial", exclusive=True)
    async def _trial_opened(self, event: TrialsPane.Opened) -> None:
        """Show the job of a trial instead of its sweep, until escape."""
        try:
            detail = await self._client.jobs.get(event.job_id)
        except ClientError as error:
            self.notify_error(error)
            return
        if self.jobs.selected is None or self.jobs.selected.id != detail.job.sweep_id:
            return
        self._inside = detail.job.id
        self.job.show(detail.job)
        self.job.open("log")
        self.refresh_bindings()

    @on(JobsPanel.Opened)
    def _opened(self) -> None:
        self.action_zoom()

    @on(JobsPanel.Failed)
    @on(JobPanel.Failed)
    def _failed(self, event: JobsPanel.Failed | JobPanel.Failed) -> None:
        self.notify_error(event.error)

    # Actions of keys

    def allows(self, action: str) -> bool | None:
        """Disable actions that no target job accepts."""
        if action in REQUESTS:
            return True if self._targets(action) else None
        if action == "trials":
            view = self.job.view
            return True if view is not None and view.trials is not None else None
        if action == "undo":
            return True if self._undo else None
        return True

    def why_not(self, action: str) -> str:
        if action == "trials":
            return "Only a sweep has trials: train a model with its sweep on."
        return "There is nothing to undo." if action == "undo" else why_not(action, self.jobs.targets)

    def _targets(self, verb: str) -> list[JobView]:
        """The marked jobs, or the one that is shown, that accept the action."""
        views = [self._opened_trial] if self._opened_trial is not None else self.jobs.targets
        return [view for view in views if allowed(verb, view)]

    @property
    def _opened_trial(self) -> JobView | None:
        """The trial that is shown instead of its sweep."""
        view, selected = self.job.view, self.jobs.selected
        if view is None or selected is None or view.id != self._inside or view.sweep_id != selected.id:
            return None
        return view

    @work(group="ask", exclusive=True)
    async def action_cancel(self) -> None:
        views = self._targets("cancel")
        try:
            waiting = await self._waiting_for({view.id for view in views})
        except ClientError as error:
            self.notify_error(error)
            return
        # They may have changed since the request.
        views = [self._known(view) for view in views]
        if not views:
            return
        if await self.app.push_screen_wait(Confirm(*cancel_question(views, waiting), "Cancel jobs", "Keep running")):
            await self._do(self._client.jobs.cancel, views)

    @work(group="act")
    async def action_pause(self) -> None:
        await self._do(self._client.jobs.pause, self._targets("pause"))

    @work(group="act")
    async def action_resume(self) -> None:
        await self._do(self._client.jobs.resume, self._targets("resume"))

    @work(group="act")
    async def action_hold(self) -> None:
        """Hold the jobs, or release them if all are held."""
        views = self._targets("hold")
        held = not all(view.state is State.HELD for view in views)
        views = [view for view in views if (view.state is State.HELD) is not held]
        back = {view.id: JobPatch(held=not held) for view in views}
        views = await self._change({view.id: JobPatch(held=held) for view in views})
        self._remember(f"{'Held' if held else 'Released'} {named(views)}", views, back)

    @work(group="act")
    async def action_priority(self, direction: int) -> None:
        views = self._targets("priority")
        wanted = {view.id: max(LEAST, min(MOST, view.priority + direction * PRIORITY_STEP)) for view in views}
        back = {view.id: JobPatch(priority=view.priority) for view in views}
        views = await self._change({job_id: JobPatch(priority=priority) for job_id, priority in wanted.items()})
        summary = ", ".join(str(priority) for priority in sorted({wanted[view.id] for view in views}))
        self._remember(f"Priority of {named(views)} is {summary}", views, back)

    def _remember(self, summary: str, views: Sequence[JobView], back: dict[str, JobPatch]) -> None:
        """`views`: the jobs that the daemon changed."""
        if views:
            self._undo.append((summary, {view.id: back[view.id] for view in views}))
            self.notify(f"{escape(summary)}\n[$dim]u: undo[/]", timeout=3)
            self.refresh_bindings()

    @work(group="act")
    async def action_undo(self) -> None:
        if self._undo:
            summary, back = self._undo.pop()
            if await self._change(back):
                self.notify(escape(summary), title="Undone", timeout=3)
            self.refresh_bindings()

    def _known(self, view: JobView) -> JobView:
        """The latest known view of the job."""
        shown = self.job.view
        return self.jobs.store.views.get(view.id, shown if shown is not None and shown.id == view.id else view)

    async def _change(self, patches: dict[str, JobPatch]) -> list[JobView]:
        """Patch jobs; returns those that the daemon changed."""

        async def change(job_id: str) -> JobView:
            return await self._client.jobs.update(job_id, patches[job_id])

        known = {view.id: view for view in (self._opened_trial, *self.jobs.store.views.values()) if view is not None}
        return await self._do(change, [view for view in known.values() if view.id in patches])

    @work(group="ask", exclusive=True)
    async def action_again(self) -> None:
        view = self.jobs.selected
        if view is None:
            return
        try:
            jobs = await self._client.jobs.list_owned(view.owner_kind, view.owner_id)
        except ClientError as error:
            self.notify_error(error)
            return
        from tui.run.dialogue import RunDialogue

        dialogue = RunDialogue(
            self._client, view.owner_kind, view.owner_id, view.owner_name, view.network, jobs,
            actions=[view.action], parent=view.parent_id,
        )  # fmt: skip
        if started := await self.app.push_screen_wait(dialogue):
            self.go_to(started[0])

    @work(group="ask", exclusive=True)
    async def action_delete(self) -> None:
        views = self._targets("delete")
        if not views:
            return
        if await self.app.push_screen_wait(Confirm(*delete_question(views), "Delete jobs", "Keep jobs")):
            for view in views:
                try:
                    await self._client.jobs.delete(view.id)
                except ClientError as error:
                    self.notify_error(error)
                    if isinstance(error, NoDaemon):
                        return
                else:
                    self.app.post_message(feed.JobDeleted(view.id))

    async def _do(self, verb: Callable[[str], Awaitable[JobView]], views: Sequence[JobView]) -> list[JobView]:
        """Send a request for each job and show the answers like events. Returns the jobs whose request succeeded."""
        done = []
        for view in views:
            try:
                self.app.post_message(feed.JobChanged(await verb(view.id)))
            except ClientError as error:
                self.notify_error(error)
                if isinstance(error, NoDaemon):
                    break
            else:
                done.append(view)
        return done

    async def _waiting_for(self, job_ids: set[str]) -> int:
        """Number of further jobs that wait for these, directly or indirectly."""
        waiting, to_read, seen = 0, list(job_ids), set(job_ids)
        while to_read:
            details = await asyncio.gather(*(self._client.jobs.get(each) for each in to_read))
            waiting += sum(not detail.job.state.ended for detail in details if detail.job.id not in job_ids)
            to_read = [child for detail in details for child in detail.children if child not in seen]
            seen.update(to_read)
        return waiting

    def action_mark(self) -> None:
        self.jobs.mark()
        self._marks_changed()

    def action_mark_all(self) -> None:
        self.jobs.mark_all()
        self._marks_changed()

    def _marks_changed(self) -> None:
        self.job.compare_with(self.jobs.targets if self.jobs.marked else [])
        self.refresh_bindings()

    def start_filter(self) -> None:
        self.set_class(False, "-zoomed")
        self.jobs.filters.start_typing()

    def action_order(self) -> None:
        self.jobs.order_by_next()

    def action_reverse(self) -> None:
        self.jobs.reverse_order()

    def action_group(self) -> None:
        self.jobs.regroup()

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

    def action_trials(self) -> None:
        self.job.open("trials")

    def action_list_trials(self) -> None:
        self.jobs.filters.toggle_trials()
        self.dashboard.show_trials(self.jobs.filters.trials)

    def action_metric(self) -> None:
        self.job.kpis.next_metric()

    def action_back(self) -> None:
        """Leave, in this order: the trial, the zoom, the marks, the job, the filter."""
        if self._opened_trial is not None:
            self._inside = None
            self.job.show(self.jobs.selected)
            self.job.open("trials")
            self.refresh_bindings()
            return
        if self.has_class("-zoomed"):
            self.set_class(False, "-zoomed")
        elif self.jobs.marked and self.jobs.table.has_focus:
            self.jobs.unmark()
            self._marks_changed()
        elif not self.job.has_focus_within or self.jobs.filters.has_focus_within:
            self.jobs.filters.reset()
        self.jobs.table.focus()
