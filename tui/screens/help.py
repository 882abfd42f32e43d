"""The keys, read from the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.keys import format_key
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.theme import GREEN, TEXT


def listed(bindings: Iterable[Binding]) -> Table:
    """A line for each action: its keys, and what it does."""
    keys: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for binding in bindings:
        if binding.description:
            shown = [binding.key_display or format_key(key.strip()) for key in binding.key.split(",")]
            keys.setdefault(binding.action, []).extend(shown)
            words[binding.action] = binding.tooltip or binding.description
    table = Table.grid(padding=(0, 3, 0, 0))
    for action in keys:
        table.add_row(Text(" ".join(keys[action]), style=f"bold {GREEN}"), Text(words[action], style=TEXT))
    return table


class Help(ModalScreen[None]):
    """Closed by any of the keys that one would try."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss", "Close")]

    def __init__(self, bindings: Iterable[Binding]) -> None:
        super().__init__()
        self._bindings_told = list(bindings)

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialogue", id="help"):
            yield Static(listed(self._bindings_told), id="help-keys")

    def on_mount(self) -> None:
        dialogue = self.query_one("#help")
        dialogue.border_title, dialogue.border_subtitle = "Keys", "escape closes"
