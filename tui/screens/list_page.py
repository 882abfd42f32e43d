"""Base of the pages of datasets, models and tools: a list with a filter, and details of the selected row."""

from __future__ import annotations

from typing import Generic, TypeVar

from rich.markup import escape
from textual import on
from textual.binding import Binding, BindingType

from taod.client import ClientError
from tui.lists.panel import ListPanel
from tui.live import delivery
from tui.refresher import Refresher
from tui.screens.page import Page

AGE_S = 10.0
"""Interval at which the ages in the list are updated."""


Item = TypeVar("Item")

FILTER_KEYS: tuple[BindingType, ...] = (
    Binding("slash", "filter", "Filter", key_display="/", priority=True, tooltip="Filter the list by any word"),
    Binding("escape", "back", "Back", show=False, tooltip="Clear the filter"),
)
"""The last bindings of every such page: the footer shows them in their order."""


class ListPage(Page, Generic[Item]):
    """Subclasses read and draw the rows; `reload` and changes call `read`."""

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, Item] = {}
        """The items that were read last, by id."""
        self._list_reads = Refresher(self, self._read, group="list")
        self._expected: str | None = None
        """Id of the row to select as soon as the list has it."""

    @property
    def listing(self) -> ListPanel:
        return self.query_one(ListPanel)

    @property
    def selected(self) -> Item | None:
        return self.items.get(self.listing.selected_id or "")

    async def fetch(self) -> None:
        """Read the items. Raises ClientError."""
        raise NotImplementedError

    @on(ListPanel.Selected)
    def _selected(self) -> None:
        self.show_selected()
        self.refresh_bindings()

    def show_selected(self) -> None:
        """Show the details of the selected row."""
        raise NotImplementedError

    def draw(self) -> None:
        """Draw the rows that were read last, with current ages."""
        raise NotImplementedError

    def ready(self) -> None:
        self.set_focus(self.listing.table)  # immediate: `focus` would override a focus that was set meanwhile
        self.set_interval(AGE_S, self._update_ages)

    def _update_ages(self) -> None:
        if self.is_current and self.items:
            self.draw()

    def reload(self) -> None:
        self.read()

    @delivery
    def read(self, then_select: str | None = None) -> None:
        """Read the list again, and select this row as soon as the list has it."""
        self._expected = then_select or self._expected
        self._list_reads.request()

    async def _read(self) -> None:
        try:
            await self.fetch()
        except ClientError as error:
            if error.status:  # without an answer (0) the event stream reports the lost connection
                self.notify_error(error)
                self.connection_lost(error.description)
            return
        self.draw()
        if self._expected is not None and self.listing.table.select(self._expected):
            self._expected = None
        self.show_selected()

    def connection_lost(self, reason: str) -> None:
        if not self.items:
            self.listing.show({}, escape(reason))

    def start_filter(self) -> None:
        self.set_focus(self.listing.input)

    def action_back(self) -> None:
        self.listing.reset()
        self.listing.table.focus()
