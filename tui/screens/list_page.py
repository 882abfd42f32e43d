"""What the pages of data sets and of models have in common: a list with a filter beside the details of one thing."""

from __future__ import annotations

from rich.markup import escape

from tui.lists.panel import ListPanel
from tui.screens.page import Page


class ListPage(Page):
    """Subclasses read the things; `reload` and a change call `_read`."""

    @property
    def listing(self) -> ListPanel:
        return self.query_one(ListPanel)

    @property
    def empty(self) -> bool:
        """Whether nothing has been read yet, or there is nothing."""
        raise NotImplementedError

    def _read(self, then_select: str | None = None) -> object:
        raise NotImplementedError

    def ready(self) -> None:
        self.listing.table.focus()

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
