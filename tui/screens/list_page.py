"""What the pages of data sets and of models have in common: a list with a filter beside the details of one thing."""

from __future__ import annotations

from rich.markup import escape

from tui.lists.panel import ListPanel
from tui.screens.page import Page

AGE_S = 10.0
"""How often the ages in the list are told anew."""


class ListPage(Page):
    """Subclasses read the things and draw them; `reload` and a change call `_read`."""

    @property
    def listing(self) -> ListPanel:
        return self.query_one(ListPanel)

    @property
    def empty(self) -> bool:
        """Whether nothing has been read yet, or there is nothing."""
        raise NotImplementedError

    def _read(self, then_select: str | None = None) -> object:
        raise NotImplementedError

    def draw(self) -> None:
        """Show what was read last, by the time that it is now."""
        raise NotImplementedError

    def ready(self) -> None:
        self.listing.table.focus()
        self.set_interval(AGE_S, self._grow_old)

    def _grow_old(self) -> None:
        if self.is_current and not self.empty:
            self.draw()

    def reload(self) -> None:
        self._read()

    def lost(self, reason: str) -> None:
        if self.empty:
            self.listing.show({}, escape(reason))

    def action_filter(self) -> None:
        self.set_focus(self.listing.input)

    def action_back(self) -> None:
        self.listing.reset()
        self.listing.table.focus()
