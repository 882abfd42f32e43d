"""A tool of one release, or its environment here: its cells in the list, and its details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from taod.types.tool import Environment, ToolInfo, ToolProgress, ToolState
from tui import format
from tui.live import LiveNode, delivery
from tui.theme import BLUE, DIM, GREEN, RED, SOFT, TEXT, YELLOW

COLUMNS = (
    ("tool", "Tool", 14),
    ("release", "Release", 7),
    ("environment", "Environment", 0),
    ("state", "State", 12),
    ("size", "Size", 6),
)
COLOURS = {ToolState.READY: GREEN, ToolState.INCOMPLETE: YELLOW, ToolState.INSTALLING: BLUE}
MB = 10**6


class Installable(msgspec.Struct, frozen=True):
    """A line of the list: an environment, or a tool without one."""

    tool: ToolInfo
    environment: Environment | None = None

    @property
    def id(self) -> str:
        return self.environment.name if self.environment is not None else f"{self.tool.tool} {self.tool.release}"


def lines(tools: Sequence[ToolInfo]) -> list[Installable]:
    """One for each environment, and one for each tool without any."""
    found: list[Installable] = []
    for tool in tools:
        found += [Installable(tool, each) for each in tool.environments] or [Installable(tool)]
    return found


def rows(line: Installable, progress: ToolProgress | None) -> Sequence[Text]:
    """The cells of a line; `progress`: of a running installation or check of its environment."""
    found = line.environment
    size = f"{found.size_bytes / 10**9:.1f} GB" if found is not None and found.size_bytes else ""
    return (
        Text(line.tool.tool, style=TEXT, no_wrap=True),
        Text(line.tool.release, style=SOFT, no_wrap=True),
        Text(found.name if found is not None else "", style=SOFT, no_wrap=True, overflow="ellipsis"),
        state(line, progress),
        Text(size, style=DIM, justify="right"),
    )


def state(line: Installable, progress: ToolProgress | None) -> Text:
    """`ready`, `available`, or the current step of an installation or check."""
    if progress is not None:
        step = f"{progress.step}/{progress.steps} " if progress.steps else ""
        return Text(f"{step}{progress.title}", style=BLUE, no_wrap=True, overflow="ellipsis")
    if line.environment is None:
        return Text("available", style=DIM, no_wrap=True)
    return Text(line.environment.state.value, style=COLOURS[line.environment.state], no_wrap=True)


def facts(line: Installable, progress: ToolProgress | None) -> Group:
    """One line for each fact, then the actions of the environment."""
    tool, found = line.tool, line.environment
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=12)

    def row(name: str, value: str, style: str = TEXT) -> None:
        table.add_row(Text(name, style=DIM), Text(value, style=style, overflow="fold"))

    row("tool", f"{tool.title}  {tool.package} {tool.release}")
    row("licence", tool.licence)
    if found is None:
        row("needs", f"Python {tool.python}, {_gb(tool.disk_mb)} of disk, a download of {_gb(tool.download_mb)}", SOFT)
        row("for the CPU", f"{_gb(tool.cpu_disk_mb)} of disk, a download of {_gb(tool.cpu_download_mb)}", SOFT)
    else:
        row("environment", found.path)
        row("python", found.python, SOFT)
        if found.cpu:
            row("layer", "runs on the CPU: slow, for trials and tests", YELLOW)
        if found.state is not ToolState.READY:
            row("state", f"{found.state.value}: {found.steps_done} of {found.steps} steps", COLOURS[found.state])
        if found.installed_at:
            row("installed", format.moment(found.installed_at), SOFT)
        if found.checked_at:
            row("checked", format.moment(found.checked_at), SOFT)
        if found.consent is not None:
            row("accepted", f"by {found.consent.accepted_by}, {format.moment(found.consent.accepted_at)}", SOFT)
    if progress is not None:
        step = f"step {progress.step} of {progress.steps}: " if progress.steps else ""
        row("now", f"{step}{progress.title}  {progress.detail}", BLUE)
        if progress.loaded_bytes:
            row("", f"{progress.loaded_bytes / MB:.0f} MB in {progress.elapsed_s:.0f} s", SOFT)
    return Group(table, *_offers(found))


def _offers(found: Environment | None) -> list[Text | Table]:
    if found is None or not found.entry_points:
        return [] if found is not None else [Text("\nn: install it", style=DIM)]
    table = Table.grid(padding=(0, 2, 0, 0))
    for entry in found.entry_points:
        able = [action.name for action in entry.actions if action.ok]
        why = entry.reason or next((action.reason for action in entry.actions if not action.ok), "")
        shown = Text(", ".join(able), style=SOFT)
        if why:
            shown.append(("  " if able else "") + why.partition("\n")[0], style=RED)
        table.add_row(Text(entry.name, style=TEXT if able else DIM), shown)
    notices = [Text(notice, style=YELLOW) for notice in found.notices]
    return [Text("\nActions that can be used", style=f"bold {SOFT}"), table, *notices]


def _gb(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB"


class ToolDetails(LiveNode, VerticalScroll):
    """Draws one line of the list."""

    def __init__(self) -> None:
        super().__init__(id="tool-details", classes="panel details")

    def compose(self) -> ComposeResult:
        yield Static(id="tool-facts")

    @delivery
    def show(self, line: Installable | None, progress: Mapping[str, ToolProgress]) -> None:
        self.border_title = line.id if line else "Tool"
        now = progress.get(line.id) if line else None
        self.query_one("#tool-facts", Static).update(facts(line, now) if line else "")
