"""Base of the pages: a whole screen below the shared header. The app forwards every event to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.markup import escape
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.screen import Screen
from textual.widgets import Input

from taod.client import ClientError, NoDaemon
from tui import feed
from tui.footer import KeyLine
from tui.header import HeaderBar
from tui.live import LiveNode, delivery
from tui.queue.banner import QueueBanner
from tui.screens.help import Help

if TYPE_CHECKING:
    from tui.app import Dashboard


class Page(LiveNode, Screen[None]):
    """Created when it is first shown, and kept. Subclasses compose what is below the header in `parts`.

    `reload` is called after the mount, after every (re)connection, and when events were missed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next panel", show=False),
        Binding("shift+tab", "app.focus_previous", "Previous panel", show=False),
        Binding("J", "app.page('jobs')", "Jobs", show=False, tooltip="Page: jobs and devices"),
        Binding("D", "app.page('datasets')", "Datasets", show=False, tooltip="Page: datasets"),
        Binding("M", "app.page('models')", "Models", show=False, tooltip="Page: models"),
        Binding("P", "app.page('tools')", "Tools", show=False, tooltip="Page: NVIDIA's tools as packages"),
        Binding("Q", "app.queue", "Queue", show=False, tooltip="Pause the whole queue, or resume it"),
        Binding("question_mark", "help", "Help", key_display="?", tooltip="List of keys"),
        Binding("ctrl+p", "app.command_palette", "Palette", show=False, tooltip="Search all actions"),
        Binding("q", "app.quit", "Quit", tooltip="Quit; jobs continue"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (190, "-beside")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012

    NAME: ClassVar[str]

    @property
    def dashboard(self) -> Dashboard:
        from tui.app import Dashboard  # imported late: it imports the pages

        assert isinstance(self.app, Dashboard)
        return self.app

    @property
    def header(self) -> HeaderBar:
        return self.query_one(HeaderBar)

    def compose(self) -> ComposeResult:
        yield HeaderBar(self.dashboard.client.url, self.NAME)
        yield QueueBanner()
        yield from self.parts()
        yield KeyLine()

    def parts(self) -> ComposeResult:
        """Widgets between header and footer."""
        yield from ()

    def on_mount(self) -> None:
        app = self.dashboard
        self.header.show_counts(app.counts)
        self.query_one(QueueBanner).show(app.queue)
        self.ready()
        if app.connected:
            self.header.connection(True, app.client.url)
            self.reload()
        elif app.trouble:
            self.connection_lost(app.trouble)
        self.refresh_bindings()

    def ready(self) -> None:
        """Called when the widgets are mounted; focuses one."""

    def reload(self) -> None:
        """Read everything again."""

    def connection_lost(self, reason: str) -> None:
        """Show that the connection is lost; `reason`: a sentence."""

    def notify_error(self, error: ClientError) -> None:
        """Notify the user of an error of the daemon or the connection."""
        title = "Disconnected" if isinstance(error, NoDaemon) else "Request rejected"
        self.notify(escape(error.description), title=title, severity="error", timeout=10)

    @on(feed.Connected)
    def _connected(self) -> None:
        self.header.connection(True, self.dashboard.client.url)
        self.reload()

    @on(feed.Disconnected)
    def _disconnected(self, event: feed.Disconnected) -> None:
        self.header.connection(False, self.dashboard.client.url)
        self.connection_lost(event.reason)

    @on(feed.QueueChanged)
    def _queue_changed(self, event: feed.QueueChanged) -> None:
        self.query_one(QueueBanner).show(event.state)

    @on(feed.Barrier)
    def _barrier(self, event: feed.Barrier) -> None:
        event.reached.set()

    @on(feed.EventsMissed)
    def _missed(self) -> None:
        self.reload()

    @on(feed.CountsChanged)
    def _counted(self, event: feed.CountsChanged) -> None:
        self.header.show_counts(event.counts)

    def on_key(self, event: Key) -> None:
        """Notify the user why a disabled key does nothing."""
        if not self.is_ready or self.taken(event.key):
            return
        for binding in (
            self._bindings.get_bindings_for_key(event.key) if event.key in self._bindings.key_to_bindings else ()
        ):
            name, _, _ = binding.action.partition("(")
            if "." not in name and self.check_action(name, ()) is None and (why := self.why_not(name)):
                self.notify(why, markup=False, timeout=4)
                event.stop()

    def taken(self, key: str) -> bool:
        """Whether the focused widget binds this key itself."""
        parts = self.focused.ancestors_with_self if self.focused is not None else []
        return any(key in part._bindings.key_to_bindings for part in parts if part is not self and part is not self.app)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Shared by all pages; each page decides about its own actions in `allows`.

        `/` focuses the filter before the next key is handled, so its binding has priority; it is disabled while an
        input or a widget with its own `/` has the focus.
        """
        if action == "filter":
            return not (isinstance(self.focused, Input) or self.taken("slash"))
        return self.allows(action) if self.is_ready else None

    def allows(self, action: str) -> bool | None:
        """Whether an action is enabled; None: disabled but shown. Called only while the widgets are mounted."""
        return True

    @delivery
    def action_filter(self) -> None:
        """Focus the filter, now or after the mount."""
        self.start_filter()

    def start_filter(self) -> None:
        """Focus the filter."""

    def why_not(self, action: str) -> str:
        """Why an action is disabled, as a sentence."""
        return ""

    def action_help(self) -> None:
        self.app.push_screen(Help(self))
