"""Everything else about one job: where it is and why, its run, its history, its specification."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from taod.types.job import HistoryEntry, JobDetail, JobView, ProcessInfo
from tui import format
from tui.job.tree import tree
from tui.theme import BLUE, DIM, GLYPHS, GREEN, SOFT, TEXT, YELLOW

NAME_CELLS = 11


def facts(detail: JobDetail, device_names: Mapping[str, str]) -> Text:
    """State, times, run and history, a line each."""
    view = detail.job
    glyph, colour = GLYPHS[view.state]
    text = Text()
    _row(text, "state", Text(f"{glyph} {view.state.value}", style=colour).append(f"  {view.reason}", style=SOFT))
    _row(text, "job", Text(view.id, style=TEXT))
    _row(text, view.owner_kind, Text(view.owner_name, style=TEXT).append(f"  {view.owner_id}", style=DIM))
    _row(text, "network", Text(view.network, style=TEXT).append(f"  {view.action}", style=SOFT))
    if view.parent_id:
        _row(text, "parent", Text(view.parent_id, style=TEXT))
    if detail.children:
        _row(text, "children", Text(", ".join(format.short(child) for child in detail.children), style=TEXT))
    _times(text, view)
    _row(text, "runner", Text(view.runner or "none yet", style=TEXT if view.runner else DIM))
    if view.devices:
        _row(text, "device", Text(", ".join(device_names.get(each, each) for each in view.devices), style=TEXT))
    for warning in detail.warnings:
        _row(text, "warning", Text(warning, style=YELLOW))
    if detail.process is not None:
        _process(text, detail.process)
    if detail.folder:
        _row(text, "folder", Text(detail.folder, style=SOFT))
    _history(text, detail.history)
    return text


def _row(text: Text, name: str, value: Text) -> None:
    text.append_text(format.key(name, NAME_CELLS)).append_text(value).append("\n")


def _times(text: Text, view: JobView) -> None:
    times = Text(format.moment(view.created_on), style=TEXT)
    if view.started_at:
        times.append("  started ", style=DIM).append(format.moment(view.started_at), style=TEXT)
    if view.ended_at:
        times.append("  ended ", style=DIM).append(format.moment(view.ended_at), style=TEXT)
    _row(text, "created", times)
    took = format.duration(format.seconds_between(view.started_at, view.ended_at, format.now()))
    if took:
        line = Text(took, style=TEXT)
        if view.attempt > 1:
            line.append(f"  attempt {view.attempt}", style=DIM)
        if view.result.time_per_epoch:
            line.append(f"  an epoch {format.eta(view.result.time_per_epoch)}", style=DIM)
        _row(text, "ran for", line)
    if view.priority:
        _row(text, "priority", Text(str(view.priority), style=TEXT))


def _process(text: Text, process: ProcessInfo) -> None:
    told = []
    if process.pid is not None:
        told.append(f"pid {process.pid}")
    if process.exit_code is not None:
        told.append(f"exit code {process.exit_code}")
    if process.cpu_percent is not None:
        told.append(f"cpu {process.cpu_percent:.0f}%")
    if process.rss_bytes is not None:
        told.append(f"memory {format.size(process.rss_bytes)}")
    if process.gpu_memory_bytes is not None:
        told.append(f"gpu memory {format.size(process.gpu_memory_bytes)}")
    if told:
        _row(text, "process", Text(", ".join(told), style=TEXT))
    if process.command:
        _row(text, "command", Text(shlex.join(process.command), style=GREEN))
    for name, value in process.environment.items():
        _row(text, "", Text(name, style=SOFT).append(f"={value}", style=BLUE))


def _history(text: Text, history: list[HistoryEntry]) -> None:
    if not history:
        return
    text.append("\nHistory\n", style=f"bold {SOFT}")
    for entry in history:
        glyph, colour = GLYPHS[entry.state]
        text.append(f"{format.moment(entry.at):<{NAME_CELLS - 2}} ", style=DIM)
        text.append(f"{glyph} {entry.state.value:<9} ", style=colour)
        text.append(f"{entry.reason}\n", style=SOFT)


class DetailsPane(Horizontal):
    """Facts on the left, the specification on the right; one below the other where it is narrow."""

    def __init__(self) -> None:
        super().__init__(id="details")

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="facts-scroll"):
            yield Static(id="facts")
        with VerticalScroll(id="spec-scroll"):
            yield Static(id="spec")

    def clear(self) -> None:
        self.query_one("#facts", Static).update("")
        self.query_one("#spec", Static).update("")

    def show(self, detail: JobDetail, device_names: Mapping[str, str]) -> None:
        self.query_one("#facts", Static).update(facts(detail, device_names))
        spec = Text().append("Specification\n", style=f"bold {SOFT}")
        spec.append_text(tree(detail.spec) if detail.spec else Text("none", style=DIM))
        self.query_one("#spec", Static).update(spec)
