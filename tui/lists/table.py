"""A table whose rows are changed in place; the cursor stays on its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from tui.live import LiveNode, delivery

ROOM_CELLS, LEAST_CELLS = 20, 10
"""Wanted width of a flexible column, and least width of any other, in cells."""


class RowTable(LiveNode, DataTable[Text]):
    """Rows by id. `columns`: key, title and width in cells; width 0: flexible."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", "First", show=False),
        Binding("end", "scroll_bottom", "Last", show=False),
    ]

    def __init__(self, columns: Sequence[tuple[str, str, int]], id: str) -> None:
        super().__init__(cursor_type="row", cursor_foreground_priority="renderable", id=id)
        self._columns = columns

    def on_mount(self) -> None:
        for key, title, width in self._columns:
            self.add_column(title, width=width or 10, key=key)

    def on_resize(self) -> None:
        """Give the flexible columns the remaining width; if it is small, narrow the widest of the others."""
        widths = {key: width for key, _, width in self._columns}
        flexible = [key for key, width in widths.items() if not width]
        room = self.size.width - self.styles.scrollbar_size_vertical - 2 * self.cell_padding * len(widths)
        while flexible and room - sum(widths.values()) < ROOM_CELLS * len(flexible):
            widest = max(widths, key=lambda key: widths[key])
            if widths[widest] <= LEAST_CELLS:
                break
            widths[widest] -= 1
        left = room - sum(widths.values())
        for column in self.columns.values():
            key = column.key.value or ""
            column.width = widths[key] or max(LEAST_CELLS, left // len(flexible))
            column.auto_width = False
        self._require_update_dimensions = True
        self._clear_caches()
        self.refresh(layout=True)

    @property
    def selected_id(self) -> str | None:
        """Id of the row under the cursor."""
        if not self.is_valid_row_index(self.cursor_row):
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value

    @delivery
    def show(self, rows: Mapping[str, Sequence[Text]]) -> None:
        """Show these rows in this order, and no others."""
        kept = self.selected_id
        if list(rows) != [key.value for key in self.rows]:
            self.clear()
            for key, cells in rows.items():
                self.add_row(*cells, key=key)
            if kept is not None and kept in rows:
                self.move_cursor(row=self.get_row_index(kept), animate=False)
            return
        for key, cells in rows.items():
            for (column, _, _), cell in zip(self._columns, cells, strict=True):
                if self.get_cell(key, column) != cell:
                    self.update_cell(key, column, cell)

    @delivery
    def select(self, key: str) -> bool:
        """Move the cursor to a row; returns whether it exists."""
        if key in self.rows:
            self.move_cursor(row=self.get_row_index(key))
        return key in self.rows
