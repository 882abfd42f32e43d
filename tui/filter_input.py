"""The text field of a filter."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input


class FilterInput(Input):
    """Enter moves the focus to the filtered list before the next key is handled, as further keys may be queued."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "leave", "List", show=False, priority=True)]

    def __init__(self, listed: str, *, id: str | None = None, classes: str | None = None) -> None:
        """`listed`: selector of the list."""
        super().__init__(placeholder="filter", id=id, classes=classes, compact=True)
        self._listed = listed

    def action_leave(self) -> None:
        self.screen.set_focus(self.screen.query_one(self._listed))
