"""The list of keys, read from the bindings of the page and of the focused widget."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.keys import format_key
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from tui.commands import bindings_of
from tui.theme import GREEN, SOFT, TEXT


def listed(bindings: Iterable[Binding]) -> Table:
    """One line for each action: its keys and its effect."""
    keys: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for binding in bindings:
        if binding.description:
            shown = [binding.key_display or format_key(key.strip()) for key in binding.key.split(",")]
            known = keys.setdefault(binding.action, [])
            known.extend(key for key in dict.fromkeys(shown) if key not in known)
            words[binding.action] = binding.tooltip or binding.description
    table = Table.grid(padding=(0, 3, 0, 0))
    for action in keys:
        table.add_row(Text(" ".join(keys[action]), style=f"bold {GREEN}"), Text(words[action], style=TEXT))
    return table


class Help(ModalScreen[None]):
    """Closed by escape, ?, q or enter."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss", "Close")]

    def __init__(self, page: Screen[Any]) -> None:
        super().__init__()
        self._page_keys = list(bindings_of(page))
        focused = page.focused
        self._part_keys = list(bindings_of(focused)) if focused is not None else []

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialogue", id="help"):
            yield Static(listed(self._page_keys), id="help-keys")
            if self._part_keys:
                yield Static(Text("\nIn the focused panel", style=f"bold {SOFT}"))
                yield Static(listed(self._part_keys), id="help-part")

    def on_mount(self) -> None:
        dialogue = self.query_one("#help")
        dialogue.border_title, dialogue.border_subtitle = "Keys", "escape: close · ctrl+p: search all actions"
