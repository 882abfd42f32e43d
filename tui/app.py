"""The dashboard as a Textual app: its pages, their shared event stream, and its theme."""

from __future__ import annotations

import gc
import importlib
import locale
import sys
from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import ClassVar, Literal

from rich.markup import escape
from textual import on, work
from textual.app import App
from textual.filter import LineFilter
from textual.message import Message

from taod.client import AsyncClient, ClientError
from taod.client.transport import Rediscover
from taod.types.job import JobView
from taod.types.queue import QueueState
from taod.types.state import State
from tui import feed, format
from tui.commands import Commands
from tui.refresher import Refresher
from tui.render_filters import AsciiSigns, LightInk, VisibleControls
from tui.screens.main import MainScreen
from tui.screens.page import Page
from tui.theme import DARK, LIGHT

COUNTS_PAUSE_S = 0.2
"""Shortest interval between two readings of the counts, however many jobs change."""
RETRY_S = 5.0
"""Delay before counts are read again after an error."""
PAGES = {
    "jobs": "main.MainScreen",
    "datasets": "datasets.DatasetsPage",
    "models": "models.ModelsPage",
    "tools": "tools.ToolsPage",
}
"""Module and class of each page; imported when the page is first shown."""

VISIBLE_CONTROLS = VisibleControls()
Look = Literal["dark", "light"]


class Dashboard(App[None]):
    """Shows one daemon. `rediscover` finds it after a restart; without `rediscover` the same address is retried."""

    TITLE = "taod"
    CSS_PATH = "taod.tcss"
    COMMANDS: ClassVar = {Commands}

    def __init__(
        self,
        client: AsyncClient,
        rediscover: Rediscover | None = None,
        *,
        look: Look = "dark",
        bell: bool = True,
        ascii_only: bool | None = None,
    ) -> None:
        """`bell`: ring the terminal bell when a job ends. `ascii_only`: None: decided by the locale's encoding."""
        self._light = LightInk(enabled=look == "light")
        if ascii_only is None:
            # The driver writes to standard error; PYTHONIOENCODING may give that another encoding than the locale's.
            encodings = (locale.getpreferredencoding(False), getattr(sys.__stderr__, "encoding", None) or "utf-8")
            ascii_only = not all("utf" in each.lower() for each in encodings)
        self._ascii = AsciiSigns(enabled=ascii_only)
        super().__init__()
        self.client = client
        self.connected = False
        client.keep_asking = lambda: self.connected  # after a reconnect everything is read again
        self.trouble = ""
        """Why the daemon does not answer, as a sentence."""
        self.counts: dict[State, int] = {}
        self._count_reads = Refresher(self, self._read_counts, group="counts", pause_s=COUNTS_PAUSE_S)
        self._queue_reads = Refresher(self, self._read_queue, group="queue")
        self.with_trials = False
        """Whether trials of sweeps are listed, and counted."""
        self.queue: QueueState | None = None
        self._feed = feed.Feed(client, self.post_message, rediscover)
        self._bell = bell
        self._states: dict[str, State] = {}
        """Last known state of each job, from events."""
        self._pages: dict[str, Page] = {}
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = LIGHT.name if look == "light" else DARK.name
        for name in PAGES:
            self.add_mode(name, partial(self._create_page, name))

    def _create_page(self, name: str) -> Page:
        module, _, kind = PAGES[name].partition(".")
        self._pages[name] = getattr(importlib.import_module(f"tui.screens.{module}"), kind)()
        return self._pages[name]

    def on_mount(self) -> None:
        self.switch_mode(MainScreen.NAME)
        self.call_after_refresh(self._first_frame_drawn)

    def _first_frame_drawn(self) -> None:
        """Start slow work after the first frame is drawn."""
        if not gc.isenabled():  # the command disables it to start faster
            gc.freeze()
            gc.enable()
        self.run_worker(self._feed.run(), group="feed")

    async def on_unmount(self) -> None:
        self.workers.cancel_all()
        await self.client.aclose()

    def get_line_filters(self) -> Sequence[LineFilter]:
        mine = [each for each in (self._light, self._ascii) if each.enabled]
        return [VISIBLE_CONTROLS, *mine, *super().get_line_filters()]

    def action_page(self, name: str) -> None:
        """Bring a page to the front."""
        if name in PAGES and not self.screen.is_modal:
            self.switch_mode(name)

    def show_job(self, job_id: str) -> None:
        """Show the page of jobs and select this job as soon as the list has it."""
        self.action_page(MainScreen.NAME)
        jobs = self.page(MainScreen.NAME)
        if isinstance(jobs, MainScreen):
            jobs.go_to(job_id)

    def page(self, name: str) -> Page:
        """Returns a page that was shown before. Raises KeyError for any other."""
        return self._pages[name]

    def action_look(self) -> None:
        """Switch between the dark and the light theme."""
        self._light.enabled = not self._light.enabled
        self.theme = LIGHT.name if self._light.enabled else DARK.name
        self.refresh(layout=True)

    @work(group="ask", exclusive=True)
    async def action_queue(self) -> None:
        """Pause the whole queue, or resume it."""
        from tui.queue.form import PauseQueue

        try:
            if self.queue is not None and self.queue.paused:
                self._queue_is(await self.client.queue.resume())
            elif (state := await self.push_screen_wait(PauseQueue(self.client))) is not None:
                self._queue_is(state)
        except ClientError as error:
            self.notify(escape(error.description), title="The queue was not changed", severity="error", timeout=10)

    def _queue_is(self, state: QueueState) -> None:
        self.queue = state
        self._forward(feed.QueueChanged(state))

    # Events go to every page; those that concern the whole dashboard are handled here.

    @on(feed.Connected)
    def _connected(self, event: feed.Connected) -> None:
        if self.trouble:
            self.notify("Connected again.")
        self.connected, self.trouble = True, ""
        self._forward(event)
        self._count_reads.request()
        self._queue_reads.request()

    @on(feed.Disconnected)
    def _disconnected(self, event: feed.Disconnected) -> None:
        reason = f"{event.reason[:1].upper()}{event.reason[1:]}"
        if not self.trouble:
            self.notify(escape(reason), title="Disconnected", severity="warning")
        self.connected, self.trouble = False, reason
        self._forward(feed.Disconnected(reason))

    @on(feed.Rejected)
    def _rejected(self, event: feed.Rejected) -> None:
        self.connected, self.trouble = False, event.error.description
        self.notify(escape(event.error.description), title="Request rejected", severity="error", timeout=10)
        self._forward(feed.Disconnected(event.error.description))

    @on(feed.EventsMissed)
    def _missed(self, event: feed.EventsMissed) -> None:
        self._forward(event)
        self._count_reads.request()
        self._queue_reads.request()

    @on(feed.JobChanged)
    def _job_changed(self, event: feed.JobChanged) -> None:
        view = event.view
        before = self._states.get(view.id)
        self._states[view.id] = view.state
        if before is not view.state:
            self._count_reads.request()
            # The end of a sweep is announced, not that of each trial.
            if view.sweep_id is None and view.state.ended and (before is not None or event.fresh):
                self._announce(view)
        self._forward(event)

    @on(feed.QueueChanged)
    def _queue_changed(self, event: feed.QueueChanged) -> None:
        self._queue_is(event.state)
        if self._queue_reads.is_active:  # its answer may be older than this event
            self._queue_reads.request()

    @on(feed.JobDeleted)
    def _job_deleted(self, event: feed.JobDeleted) -> None:
        self._states.pop(event.job_id, None)
        self._count_reads.request()
        self._forward(event)

    @on(feed.StatusLine)
    @on(feed.UsageChanged)
    @on(feed.UploadProgressed)
    @on(feed.CheckProgressed)
    @on(feed.ToolProgressed)
    @on(feed.DevicesChanged)
    @on(feed.DatasetChanged)
    @on(feed.ModelChanged)
    def _page_event(self, event: Message) -> None:
        self._forward(event)

    @on(feed.Barrier)
    def _barrier(self, event: feed.Barrier) -> None:
        pages = [page for page in self._pages.values() if page.is_running]
        if not pages or not pages[0].post_message(copy(event)):
            event.reached.set()

    def _forward(self, event: Message) -> None:
        for page in self._pages.values():
            if page.is_running:
                page.post_message(copy(event))

    def show_trials(self, shown: bool) -> None:
        """Include trials of sweeps in the counts, or exclude them."""
        self.with_trials = shown
        self._count_reads.request()

    async def _read_counts(self) -> None:
        try:
            self.counts = await self.client.jobs.counts(trials=None if self.with_trials else False)
        except ClientError as error:
            self._retry(error, self._count_reads)
            return
        self._forward(feed.CountsChanged(self.counts))

    async def _read_queue(self) -> None:
        try:
            self._queue_is(await self.client.queue.state())
        except ClientError as error:
            self._retry(error, self._queue_reads)

    def _retry(self, error: ClientError, reading: Refresher) -> None:
        """Read again later, unless the daemon did not answer (status 0): then a reconnect reads everything."""
        if error.status:
            self.set_timer(RETRY_S, reading.request)

    def _announce(self, view: JobView) -> None:
        """Notify the user that a job has ended."""
        name = f"{view.action} {format.short(view.id)} of {view.owner_name}"
        if view.state is State.DONE:
            value = f": {view.metric} {format.number(view.metric_value)}" if view.metric_value is not None else ""
            self.notify(escape(f"{name}{value}"), title="Done")
        elif view.state is State.FAILED:
            self.notify(escape(f"{name}\n{view.reason}"), title="Failed", severity="error", timeout=12)
        else:
            self.notify(escape(f"{name}\n{view.reason}"), title="Cancelled", severity="warning")
        if self._bell:
            self.bell()
