"""The search line below a log."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from tui.live import LiveNode, delivery


class SearchLine(LiveNode, Horizontal):
    """Hidden until it is opened, and when it is left empty."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Close", tooltip="Stop searching")]

    class Submitted(Message):
        """Search for these words; empty: stop searching."""

        def __init__(self, words: str) -> None:
            super().__init__()
            self.words = words

    def __init__(self) -> None:
        super().__init__(id="search")
        self.display = False

    def compose(self) -> ComposeResult:
        yield Static("/", classes="slash")
        yield Input(placeholder="search the log", id="search-text", compact=True)
        yield Static("", id="search-state")

    @delivery
    def ask(self) -> None:
        """Open the line and focus it."""
        self.display = True
        self.query_one(Input).focus()

    @delivery
    def show_result(self, words: str) -> None:
        """Show the progress or result of the search."""
        self.display = self.display or bool(words)
        self.query_one("#search-state", Static).update(words)
        if not words and not self.query_one(Input).value and not self.query_one(Input).has_focus:
            self.display = False

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if not event.value:
            self.display = False
        self.post_message(self.Submitted(event.value))

    def action_leave(self) -> None:
        self.query_one(Input).value = ""
        self.show_result("")
        self.display = False
        self.post_message(self.Submitted(""))
