"""The panel of a list page: filter, table, and a text when the list is empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import DataTable, Input, Static

from tui.filter_input import FilterInput
from tui.lists.table import RowTable
from tui.live import LiveNode, delivery


class ListPanel(LiveNode, Vertical):
    """Filters its rows by the typed text."""

    class Selected(Message):
        """Another row was selected, or none."""

        def __init__(self, key: str | None) -> None:
            super().__init__()
            self.key = key

    class Opened(Message):
        """Enter was pressed on a row."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, title: str, columns: Sequence[tuple[str, str, int]], id: str) -> None:
        super().__init__(id=id, classes="panel list")
        self._title, self._columns = title, columns
        self._rows: Mapping[str, Sequence[Text]] = {}
        self._published: str | None = None
        self._empty = f"Reading {title.lower()} …"

    def compose(self) -> ComposeResult:
        with Horizontal(classes="filter-line"):
            yield Static("/", classes="slash")
            yield FilterInput(f"#{self.id}-table", classes="filter-text")
        yield RowTable(self._columns, id=f"{self.id}-table")
        yield Static(self._empty, classes="empty")

    def on_mount(self) -> None:
        self.border_title = self._title
        self._draw()

    @property
    def table(self) -> RowTable:
        return self.query_one(RowTable)

    @property
    def input(self) -> Input:
        return self.query_one(Input)

    @property
    def selected_id(self) -> str | None:
        return self.table.selected_id if self.is_ready and self.table.row_count else None

    @delivery
    def show(self, rows: Mapping[str, Sequence[Text]], empty: str) -> None:
        """Show these rows, or the text `empty` without any."""
        self._rows, self._empty = rows, empty
        self._draw()

    @delivery
    def reset(self) -> None:
        """Clear the filter."""
        self.input.value = ""

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._draw()

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._publish_selection()

    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowSelected) -> None:
        event.stop()
        if event.row_key.value is not None:
            self.post_message(self.Opened(event.row_key.value))

    def _draw(self) -> None:
        wanted = self.input.value.strip().lower()
        shown = {
            key: cells
            for key, cells in self._rows.items()
            if wanted in key or any(wanted in cell.plain.lower() for cell in cells)
        }
        self.table.show(shown)
        self.table.display = bool(shown)
        empty = self.query_one(".empty", Static)
        empty.display = not shown
        empty.update("Nothing matches.\n\n[$dim]escape clears the filter[/]" if self._rows else self._empty)
        more = len(self._rows) - len(shown)
        self.border_subtitle = f"{len(shown)} of {len(self._rows)}" if more else f"{len(shown)}" if shown else ""
        self._publish_selection()

    def _publish_selection(self) -> None:
        key = self.selected_id
        if key != self._published:
            self._published = key
            self.post_message(self.Selected(key))
