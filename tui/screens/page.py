"""A page: a whole screen of the dashboard under the line that all pages share. The app passes every event to it."""

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
from tui.live import Live, delivery
from tui.queue.banner import QueueBanner
from tui.screens.help import Help

if TYPE_CHECKING:
    from tui.app import Dashboard


class Page(Live, Screen[None]):
    """Made when it is first shown, kept from then on. Subclasses say what is below the header in `parts`.

    `reload` is called when the page is made, when the daemon is there (again), and when events were missed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next part", show=False),
        Binding("shift+tab", "app.focus_previous", "Part before", show=False),
        Binding("J", "app.page('jobs')", "Jobs", show=False, tooltip="Page: jobs and devices"),
        Binding("D", "app.page('datasets')", "Datasets", show=False, tooltip="Page: datasets"),
        Binding("M", "app.page('models')", "Models", show=False, tooltip="Page: models"),
        Binding("Q", "app.queue", "Queue", show=False, tooltip="Pause the whole queue, or open it again"),
        Binding("question_mark", "help", "Help", key_display="?", tooltip="These keys"),
        Binding("ctrl+p", "app.command_palette", "Palette", show=False, tooltip="Everything, by its name"),
        Binding("q", "app.quit", "Quit", tooltip="Quit; jobs go on"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (190, "-beside")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012

    NAME: ClassVar[str]

    @property
    def dashboard(self) -> Dashboard:
        from tui.app import Dashboard  # which imports the pages

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
        """What is between header and footer."""
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
            self.lost(app.trouble)
        self.refresh_bindings()

    def ready(self) -> None:
        """The parts are there: give one the focus."""

    def reload(self) -> None:
        """Read everything again."""

    def lost(self, reason: str) -> None:
        """The daemon does not answer; `reason` is a sentence."""

    def complain(self, error: ClientError) -> None:
        """Show what the daemon said, or that it says nothing."""
        title = "The daemon is away" if isinstance(error, NoDaemon) else "The daemon refuses"
        self.notify(escape(error.description), title=title, severity="error", timeout=10)

    @on(feed.Connected)
    def _connected(self) -> None:
        self.header.connection(True, self.dashboard.client.url)
        self.reload()

    @on(feed.Disconnected)
    def _disconnected(self, event: feed.Disconnected) -> None:
        self.header.connection(False, self.dashboard.client.url)
        self.lost(event.reason)

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
        """Say why a key that is greyed out does nothing."""
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
        """Whether the part that has the focus has this key for itself."""
        parts = self.focused.ancestors_with_self if self.focused is not None else []
        return any(key in part._bindings.key_to_bindings for part in parts if part is not self and part is not self.app)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The one answer of all pages; what a page itself allows, it says in `allows`.

        `/` goes to the list's filter at once, before what is typed after it is given to anybody: so the binding has
        priority, and must not take the sign from whoever types or searches.
        """
        if action == "filter":
            return not (isinstance(self.focused, Input) or self.taken("slash"))
        return self.allows(action) if self.is_ready else None

    def allows(self, action: str) -> bool | None:
        """Whether an action can be done now; None greys it out. Asked only while the parts are there."""
        return True

    @delivery
    def action_filter(self) -> None:
        """Give the filter the keys; asked for before the parts are there, once they are."""
        self.start_filter()

    def start_filter(self) -> None:
        """Give the filter the keys."""

    def why_not(self, action: str) -> str:
        """Why an action that is greyed out cannot be done now, as a sentence."""
        return ""

    def action_help(self) -> None:
        self.app.push_screen(Help(self))
