"""The page of NVIDIA's tools as packages: what is installed, and installing, checking and removing it."""

from __future__ import annotations

from typing import ClassVar

from rich.markup import escape
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from taod.client import ClientError
from taod.types.tool import ToolProgress, ToolState
from tui import feed
from tui.lists.panel import ListPanel
from tui.screens.confirm import Confirm
from tui.screens.list_page import FILTER_KEYS, ListPage
from tui.tools.details import COLUMNS, Installable, ToolDetails, lines, rows
from tui.tools.form import InstallTool


class ToolsPage(ListPage[Installable]):
    """Tools of the daemon's machine; only the root's first user changes them."""

    NAME = "tools"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "install", "Install", tooltip="Install the tool, or resume its installation"),
        Binding("c", "check", "Check", tooltip="Import every action of the tool again"),
        Binding("x", "remove", "Remove", tooltip="Remove the environment (asks first)"),
        *FILTER_KEYS,
    ]

    def __init__(self) -> None:
        super().__init__()
        self._progress: dict[str, ToolProgress] = {}
        """Progress of running installations and checks, by environment."""

    def parts(self) -> ComposeResult:
        with Container(classes="list-and-details"):
            yield ListPanel("Tools", COLUMNS, "tools")
            yield ToolDetails()

    async def fetch(self) -> None:
        self.items = {line.id: line for line in lines(await self.dashboard.client.tools.list())}

    def draw(self) -> None:
        self.listing.show(
            {key: rows(line, self._progress.get(key)) for key, line in self.items.items()}, "No tools are known."
        )

    @on(feed.ToolProgressed)
    def _moved(self, event: feed.ToolProgressed) -> None:
        progress = event.progress
        if progress.ended:
            self._progress.pop(progress.name, None)
            if progress.error:
                self.notify(escape(progress.error), title=f"{progress.name}: failed", severity="error", timeout=12)
            self.read()
            return
        self._progress[progress.name] = progress
        if progress.name in self.items:
            self.draw()
            self.show_selected()
        else:
            self.read(progress.name)

    def show_selected(self) -> None:
        self.query_one(ToolDetails).show(self.selected, self._progress)

    def why_not(self, action: str) -> str:
        return "The tool is not installed. n: install it" if action != "install" else "It is installed already."

    def allows(self, action: str) -> bool | None:
        line = self.selected
        found = line.environment if line is not None else None
        if action == "install":
            return True if line is not None and (found is None or found.state is not ToolState.READY) else None
        if action == "check":
            return True if found is not None and found.state is ToolState.READY else None
        if action == "remove":
            return True if found is not None else None
        return True

    @work(group="ask", exclusive=True)
    async def action_install(self) -> None:
        if (line := self.selected) is None:
            return
        form = InstallTool(self.dashboard.client, line.tool, line.environment)
        if (started := await self.app.push_screen_wait(form)) is not None:
            self.read(started.name)

    @work(group="ask", exclusive=True)
    async def action_check(self) -> None:
        line = self.selected
        if line is None or line.environment is None:
            return
        try:
            await self.dashboard.client.tools.check(line.environment.name)
        except ClientError as error:
            self.notify_error(error)

    @work(group="ask", exclusive=True)
    async def action_remove(self) -> None:
        line = self.selected
        if line is None or (found := line.environment) is None:
            return
        consequence = f"{found.path} is deleted. Jobs of its release find no tool here until it is installed again."
        if await self.app.push_screen_wait(Confirm(f"Remove {found.name}?", consequence, "Remove tool", "Keep tool")):
            try:
                await self.dashboard.client.tools.remove(found.name)
            except ClientError as error:
                self.notify_error(error)
            self.read()
