"""The tab of details: state and reason of a job, its run, its history."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from taod.types.job import HistoryEntry, JobDetail, JobKind, JobResources, JobUsage, JobView, ProcessInfo
from taod.types.warning_text import text
from tui import format
from tui.job.usage import Samples
from tui.live import LiveNode, delivery
from tui.theme import BLUE, DIM, GLYPHS, GREEN, SOFT, TEXT, YELLOW

NAME_CELLS = 10


def job_table(detail: JobDetail, device_names: Mapping[str, str]) -> Group:
    """State, times, run and history, one line each; long values wrap below their beginning."""
    view = detail.job
    glyph, colour = GLYPHS[view.state]
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=NAME_CELLS)
    _row(table, "state", Text(f"{glyph} {view.state.value}", style=colour).append(f"  {view.reason}", style=SOFT))
    _row(table, "job", Text(view.id, style=TEXT))
    _row(table, view.owner_kind, Text(view.owner_name, style=TEXT).append(f"  {view.owner_id}", style=DIM))
    _row(table, "network", Text(view.network, style=TEXT).append(f"  {view.action}", style=SOFT))
    if view.sweep_id:
        _row(table, "trial", Text(f"{view.trial} of sweep ", style=TEXT).append(view.sweep_id, style=DIM))
    if view.trials is not None:
        _row(table, "sweep", Text(f"{view.trials} trials so far; press w to see them", style=TEXT))
    if view.parent_id:
        _row(table, "parent", Text(view.parent_id, style=TEXT))
    if detail.children:
        _row(table, "children", Text(", ".join(format.short(child) for child in detail.children), style=TEXT))
    _times(table, view)
    if view.kind is JobKind.RUN:  # of a sweep, its own tab has them
        for stat in view.result.stats:
            _row(table, "result", Text(stat.metric, style=DIM).append(f"  {stat.value}", style=TEXT))
    _row(table, "runner", Text(view.runner or "none yet", style=TEXT if view.runner else DIM))
    if view.devices:
        _row(table, "device", Text(", ".join(device_names.get(each, each) for each in view.devices), style=TEXT))
    if detail.resources is not None:
        _resources(table, detail.resources)
    for warning in detail.warnings:
        _row(table, "warning", Text(text(warning), style=YELLOW))
    if detail.process is not None:
        _process(table, detail.process)
    if detail.folder:
        _row(table, "folder", Text(detail.folder, style=SOFT))
    return Group(table, *_history(detail.history))


def _row(table: Table, name: str, value: Text) -> None:
    value.overflow = "fold"
    table.add_row(Text(name, style=DIM), value)


def _times(table: Table, view: JobView) -> None:
    times = Text(format.moment(view.created_on), style=TEXT)
    if view.started_at:
        times.append("  started ", style=DIM).append(format.moment(view.started_at), style=TEXT)
    if view.ended_at:
        times.append("  ended ", style=DIM).append(format.moment(view.ended_at), style=TEXT)
    _row(table, "created", times)
    took = format.duration(format.seconds_between(view.started_at, view.ended_at, format.now()))
    if took:
        line = Text(took, style=TEXT)
        if view.attempt > 1:
            line.append(f"  attempt {view.attempt}", style=DIM)
        if view.result.time_per_epoch:
            line.append(f"  an epoch {format.eta(view.result.time_per_epoch)}", style=DIM)
        _row(table, "ran for", line)
    if view.priority:
        _row(table, "priority", Text(str(view.priority), style=TEXT))


def _resources(table: Table, used: JobResources) -> None:
    """What the job has used, also after its end."""
    facts = [] if used.energy is None else [f"energy {used.energy}"]
    for name, most in (("memory", used.peak_rss_bytes), ("gpu memory", used.peak_gpu_memory_bytes)):
        if most is not None:
            facts.append(f"most {name} {format.size(most)}")
    _row(table, "used", Text(", ".join(facts), style=TEXT))


def _process(table: Table, process: ProcessInfo) -> None:
    facts = []
    if process.pid is not None:
        facts.append(f"pid {process.pid}")
    if process.exit_code is not None:
        facts.append(f"exit code {process.exit_code}")
    if process.cpu_percent is not None:
        facts.append(f"cpu {process.cpu_percent:.0f}%")
    if process.rss_bytes is not None:
        facts.append(f"memory {format.size(process.rss_bytes)}")
    if process.gpu_memory_bytes is not None:
        facts.append(f"gpu memory {format.size(process.gpu_memory_bytes)}")
    if facts:
        _row(table, "process", Text(", ".join(facts), style=TEXT))
    if process.command:
        _row(table, "command", Text(shlex.join(process.command), style=GREEN))
    for name, value in process.environment.items():
        _row(table, "", Text(name, style=SOFT).append(f"={value}", style=BLUE))


def _history(history: list[HistoryEntry]) -> list[Text | Table]:
    if not history:
        return []
    table = Table.grid(padding=(0, 1, 0, 0))
    for entry in history:
        glyph, colour = GLYPHS[entry.state]
        when, state = Text(format.moment(entry.at), style=DIM), Text(f"{glyph} {entry.state.value}", style=colour)
        table.add_row(when, state, Text(entry.reason, style=SOFT))
    return [Text("\nHistory", style=f"bold {SOFT}"), table]


class DetailsPane(LiveNode, VerticalScroll):
    """Facts about the job, and its history below."""

    def __init__(self) -> None:
        super().__init__(id="facts-scroll")
        self._samples = Samples()

    def compose(self) -> ComposeResult:
        yield Static(id="usage")
        yield Static(id="facts")

    @delivery
    def clear(self) -> None:
        self._samples = Samples()
        self.query_one("#usage").display = False
        self.query_one("#facts", Static).update("")

    def on_mount(self) -> None:
        self.query_one("#usage").display = False

    @delivery
    def used(self, usage: JobUsage) -> None:
        """Add a sample of the run's resource usage."""
        self._samples.add(usage)
        line = self.query_one("#usage", Static)
        line.update(self._samples.drawn())
        line.display = True

    @delivery
    def show(self, detail: JobDetail, device_names: Mapping[str, str]) -> None:
        if detail.job.state.ended:
            self.query_one("#usage").display = False
        self.query_one("#facts", Static).update(job_table(detail, device_names))
