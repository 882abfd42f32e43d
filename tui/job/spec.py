"""The tab of the specification: as a tree, as YAML, or compared with the default or another job."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from taod.client import AsyncClient, ClientError
from taod.client.comparison import MISSING, Document, differences
from taod.types.job import JobDetail, JobView
from tui import format
from tui.job.tree import tree
from tui.live import LiveNode, delivery
from tui.spec.fields import written
from tui.theme import DIM, GREEN, ORANGE, SOFT, TEXT

MODES = ("tree", "yaml", "default", "marked")
TITLES = {"tree": "specification", "yaml": "as YAML", "default": "against the default", "marked": "against {}"}


def compared(one: Document, other: Document, name: str) -> RenderableType:
    """The differences as a table."""
    rows = differences(one, other)
    if not rows:
        return Text("No differences.", style=DIM)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=f"bold {SOFT}")
    for title in ("parameter", "this job", name):
        table.add_column(title, overflow="fold")
    for path, (mine, theirs) in rows:
        table.add_row(Text(path, style=TEXT), _value(mine, GREEN), _value(theirs, ORANGE))
    return table


def _value(value: Any, colour: str) -> Text:
    return Text("–", style=DIM) if value is MISSING else Text(written(value), style=colour)


class SpecPane(LiveNode, VerticalScroll):
    """Shows the specification in one of several views; `v` shows the next."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "next_view", "View", tooltip="As a tree, as YAML, against the default, against a marked job"),
    ]

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(id="spec-pane")
        self._client = client
        self._detail: JobDetail | None = None
        self._others: list[JobView] = []
        self.mode = "tree"

    def compose(self) -> ComposeResult:
        yield Static("", id="spec-way")
        yield Static("", id="spec-text")

    @delivery
    def clear(self) -> None:
        self._detail = None
        self.query_one("#spec-text", Static).update("")

    @delivery
    def show(self, detail: JobDetail, others: list[JobView]) -> None:
        """`others`: marked jobs to compare with."""
        self._detail, self._others = detail, [view for view in others if view.id != detail.job.id]
        self._draw()

    def action_next_view(self) -> None:
        modes = [mode for mode in MODES if mode != "marked" or self._others]
        self.mode = modes[(modes.index(self.mode) + 1) % len(modes)] if self.mode in modes else modes[0]
        self._draw()

    @work(group="spec", exclusive=True)
    async def _draw(self) -> None:
        detail = self._detail
        if detail is None:
            return
        name = f"{self._others[0].action} {format.short(self._others[0].id)}" if self._others else "a marked job"
        title = Text(TITLES[self.mode].format(name), style=f"bold {SOFT}").append("   v: next view", style=DIM)
        self.query_one("#spec-way", Static).update(title)
        self.query_one("#spec-text", Static).update(await self._text(detail, name))

    async def _text(self, detail: JobDetail, name: str) -> RenderableType:
        if not detail.spec:
            return Text("This job has no specification.", style=DIM)
        if self.mode == "yaml":
            import yaml

            return Text(yaml.safe_dump(detail.spec, sort_keys=False, allow_unicode=True), style=TEXT)
        if self.mode == "tree" or (self.mode == "marked" and not self._others):
            return tree(detail.spec)
        job = detail.job
        try:
            if self.mode == "default":
                schema = await self._client.specs.schema(job.owner_kind, job.owner_id, job.action)
                return compared(detail.spec, schema.get("default", {}), "default")
            other = await self._client.jobs.get(self._others[0].id)
        except ClientError as error:
            return Text(error.description, style=DIM)
        return compared(detail.spec, other.spec or {}, name)
