"""The top line: the daemon and its connection, the pages, and the number of jobs in each state."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

from taod.types.state import State
from tui.live import LiveNode, delivery
from tui.theme import DIM, GLYPHS, GREEN, RED, SOFT, TEXT

ORDER = (
    State.RUNNING,
    State.STOPPING,
    State.STARTING,
    State.LEASED,
    State.QUEUED,
    State.WAITING,
    State.HELD,
    State.PAUSED,
    State.DONE,
    State.FAILED,
    State.CANCELLED,
)
PAGES = (("jobs", "J", "obs"), ("datasets", "D", "atasets"), ("models", "M", "odels"))
"""Name, key, and the rest of the label."""
BESIDE = (("tools", "P", "ackaged tools"),)
"""Pages that are rarely used: named only while they are shown."""
GAP = 5
"""Cells of padding and gaps in the line."""


class HeaderBar(LiveNode, Horizontal):
    """The first line of every page."""

    def __init__(self, url: str, page: str) -> None:
        super().__init__(id="header")
        self._url, self._page, self._up, self._counts = url, page, False, dict[State, int]()
        self._pages = PAGES + tuple(each for each in BESIDE if each[0] == page)

    def compose(self) -> ComposeResult:
        yield Static(id="header-daemon")
        for name, key, rest in self._pages:
            classes = "header-page -chosen" if name == self._page else "header-page"
            yield Static(f"[@click=app.page('{name}')][u]{key}[/]{rest}[/]", classes=classes)
        yield Static(id="header-counts")

    def on_mount(self) -> None:
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    @delivery
    def connection(self, up: bool, url: str) -> None:
        self._up, self._url = up, url
        self._draw()

    @delivery
    def show_counts(self, counts: Mapping[State, int]) -> None:
        self._counts = dict(counts)
        self._draw()

    def _draw(self) -> None:
        """Draw everything if it fits; otherwise without the names of states, then without the address."""
        daemon = self._daemon(address=True)
        counts = counted(self._counts, words=True)
        room = self.size.width - sum(len(key + rest) + 2 for _, key, rest in self._pages) - GAP
        if counts.cell_len + daemon.cell_len > room:
            counts = counted(self._counts, words=False)
        if counts.cell_len + daemon.cell_len > room:
            daemon = self._daemon(address=False)
        self.query_one("#header-daemon", Static).update(daemon)
        self.query_one("#header-counts", Static).update(counts)

    def _daemon(self, *, address: bool) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append("taod ", style=f"bold {GREEN}")
        text.append(f" {self._url.removeprefix('http://')} " if address else "", style=SOFT)
        return text.append(" ● live" if self._up else " ● disconnected", style=GREEN if self._up else f"bold {RED}")


def counted(counts: Mapping[State, int], *, words: bool) -> Text:
    """`● 1 running  ○ 2 queued  ✓ 12 done`; `words`: with the names of states."""
    text = Text(no_wrap=True)
    for state in ORDER:
        if counts.get(state):
            glyph, colour = GLYPHS[state]
            text.append("   " if text and words else "  " if text else "")
            text.append(f"{glyph} ", style=colour)
            text.append(str(counts[state]), style=TEXT)
            text.append(f" {state.value}" if words else "", style=DIM)
    return text
