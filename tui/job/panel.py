"""The panel of the selected job: tabs with its log, metrics, specification, files, details and trials."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import TabbedContent, TabPane

from taod.client import AsyncClient, ClientError, NoDaemon
from taod.types.event import StatusUpdate
from taod.types.job import JobDetail, JobUsage, JobView
from tui import format
from tui.job.details import DetailsPane
from tui.job.files import FilesPane
from tui.job.kpis import KpiPane
from tui.job.log import SETTLE_S, LogView
from tui.job.search import SearchLine
from tui.job.spec import SpecPane
from tui.live import LiveNode, delivery
from tui.sweep.pane import TrialsPane
from tui.theme import GLYPHS

TABS = ("log", "kpis", "spec", "files", "details", "trials")


class JobPanel(LiveNode, Vertical):
    """Shows one job and its changes."""

    class Failed(Message):
        """The job could not be read."""

        def __init__(self, error: ClientError) -> None:
            super().__init__()
            self.error = error

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(id="job", classes="panel")
        self._client = client
        self.view: JobView | None = None
        self.detail: JobDetail | None = None
        self.device_names: dict[str, str] = {}
        self.others: list[JobView] = []

    def compose(self) -> ComposeResult:
        with TabbedContent(id="tabs", initial="tab-log"):
            with TabPane("[u]L[/]og", id="tab-log"):
                yield LogView(self._client)
                yield SearchLine()
            with TabPane("[u]K[/]PIs", id="tab-kpis"):
                yield KpiPane(self._client)
            with TabPane("[u]S[/]pec", id="tab-spec"):
                yield SpecPane(self._client)
            with TabPane("[u]F[/]iles", id="tab-files"):
                yield FilesPane(self._client)
            with TabPane("[u]D[/]etails", id="tab-details"):
                yield DetailsPane()
            with TabPane("[u]W[/] Trials", id="tab-trials"):
                yield TrialsPane(self._client)

    def on_mount(self) -> None:
        self._title()
        self._offer_trials()

    @property
    def log_view(self) -> LogView:
        return self.query_one(LogView)

    @property
    def kpis(self) -> KpiPane:
        return self.query_one(KpiPane)

    @property
    def trials(self) -> TrialsPane:
        return self.query_one(TrialsPane)

    @delivery
    def show(self, view: JobView | None) -> None:
        """Show this job, or none."""
        self.view, self.detail = view, None
        self.trials.clear()
        self._offer_trials()
        self.kpis.clear()
        self.query_one(DetailsPane).clear()
        self.query_one(SpecPane).clear()
        self.query_one(FilesPane).show(view)
        if self._active_tab == "tab-files":
            self.query_one(FilesPane).opened()
        self.log_view.show(view)
        self._compare()
        self._title()
        if view is not None:
            self._read(view.id)
        else:
            self.workers.cancel_group(self, "detail")

    @delivery
    def changed(self, view: JobView) -> None:
        """Update the job that is shown, or a trial of it."""
        self.trials.changed(view)
        if self.view is None or view.id != self.view.id:
            return
        moved = view.state is not self.view.state or view.reason != self.view.reason
        self.view = view
        self._title()
        if moved:
            self.log_view.more(view)
            self._read(view.id)

    @delivery
    def feed(self, update: StatusUpdate) -> None:
        self.kpis.feed(update)

    @delivery
    def used(self, usage: JobUsage) -> None:
        """Update the resource usage of the job that is shown."""
        if self.view is not None and usage.job_id == self.view.id:
            self.query_one(DetailsPane).used(usage)

    def _offer_trials(self) -> None:
        """Show the tab of trials for sweeps only."""
        tabs = self.query_one("#tabs", TabbedContent)
        if self.view is not None and self.view.trials is not None:
            tabs.show_tab("tab-trials")
            return
        if tabs.active == "tab-trials":
            tabs.active = "tab-log"
        tabs.hide_tab("tab-trials")

    @delivery
    def name_devices(self, names: Mapping[str, str]) -> None:
        self.device_names = dict(names)
        self._title()

    @delivery
    def open(self, tab: str) -> None:
        """Open a tab and focus it."""
        self.query_one("#tabs", TabbedContent).active = f"tab-{tab}"
        self.focus_tab()

    @delivery
    def focus_tab(self) -> None:
        """Focus the open tab."""
        target = {
            "tab-log": "#log-view",
            "tab-kpis": "#metrics",
            "tab-spec": "#spec-pane",
            "tab-files": "#file-list",
            "tab-details": "#facts-scroll",
            "tab-trials": "#trials-table",
        }
        self.query_one(target[self.query_one("#tabs", TabbedContent).active]).focus()

    @work(group="detail", exclusive=True)
    async def _read(self, job_id: str) -> None:
        await asyncio.sleep(SETTLE_S)
        try:
            detail = await self._client.jobs.get(job_id)
        except NoDaemon:
            return
        except ClientError as error:
            if error.status != 404:
                self.post_message(self.Failed(error))
            return
        self.detail = detail
        self.kpis.show(detail)
        self.query_one(DetailsPane).show(detail, self.device_names)
        self.query_one(SpecPane).show(detail, self.others)
        self.trials.show(detail)

    @property
    def _active_tab(self) -> str:
        return self.query_one("#tabs", TabbedContent).active

    @on(TabbedContent.TabActivated)
    def _tab_activated(self, event: TabbedContent.TabActivated) -> None:
        event.stop()
        self.trials.in_front = event.pane.id == "tab-trials"
        if event.pane.id == "tab-files":
            self.query_one(FilesPane).opened()
        elif event.pane.id == "tab-trials":
            self.trials.opened()

    @delivery
    def compare_with(self, others: list[JobView]) -> None:
        """Compare with these marked jobs."""
        self.others = others
        if self.detail is not None:
            self.query_one(SpecPane).show(self.detail, others)
        self._compare()

    def _compare(self) -> None:
        self.kpis.compare_with([view for view in self.others if self.view is None or view.id != self.view.id])

    @on(LogView.SearchRequested)
    def _search_requested(self, event: LogView.SearchRequested) -> None:
        event.stop()
        self.query_one(SearchLine).ask()

    @on(LogView.SearchState)
    def _search_state(self, event: LogView.SearchState) -> None:
        event.stop()
        self.query_one(SearchLine).show_result(event.words)

    @on(SearchLine.Submitted)
    def _search(self, event: SearchLine.Submitted) -> None:
        event.stop()
        self.log_view.search(event.words)
        self.log_view.focus()

    @on(LogView.Following)
    def _following(self, event: LogView.Following) -> None:
        event.stop()
        self._title()

    def _title(self) -> None:
        """Draw the name of the job in the upper border and its state in the lower one."""
        view = self.view
        if view is None:
            self.border_title, self.border_subtitle = "Job", ""
            return
        what = f"trial {view.trial}" if view.sweep_id is not None else view.action
        self.border_title = f"{what} {format.short(view.id)} · {_plain(view.owner_name)} · {view.network}"
        glyph, colour = GLYPHS[view.state]
        scrolled = "" if self.log_view.following else "[$warning]scrolled up, press end to follow[/] · "
        reason = f" [$soft]{_plain(view.reason)}[/]" if view.reason else ""
        self.border_subtitle = f"{scrolled}[{colour}]{glyph} {view.state.value}[/]{reason}"


def _plain(words: str) -> str:
    """Text with its markup escaped."""
    return words.replace("[", r"\[")
