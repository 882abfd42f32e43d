"""The line below the header while the queue is paused: by whom, since when, why."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from taod.types.queue import QueueState
from tui import format
from tui.theme import TEXT, YELLOW


class QueueBanner(Static):
    """Hidden while the queue is not paused."""

    def __init__(self) -> None:
        super().__init__("", id="queue-banner")
        self.display = False

    def show(self, state: QueueState | None) -> None:
        self.display = state is not None and state.paused
        if state is not None and state.paused:
            self.update(banner_text(state))


def banner_text(state: QueueState) -> Text:
    """`‖ The queue is paused by ann since 12:00:00 · Q: resume · maintenance`; a long reason is cut, never the key."""
    text = Text("‖ ", style=f"bold {YELLOW}", no_wrap=True, overflow="ellipsis")
    text.append(f"The queue is paused by {state.by} since {format.moment(state.since)} · Q: resume", style=YELLOW)
    return text.append(f" · {state.reason}" if state.reason else "", style=TEXT)
