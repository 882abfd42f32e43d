"""The table of jobs: rows by id, newest first, whose cells change in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.message import Message
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey

from taod.types.job import JobView
from tui import format
from tui.jobs import rows

NEAR_END_ROWS = 20


class JobsTable(DataTable[object]):
    """Draws jobs; which ones, its owner decides."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Zoom", tooltip="Give the selected job the whole screen"),
        Binding("home", "scroll_top", "First job", show=False),
        Binding("end", "scroll_bottom", "Last job", show=False),
    ]

    class NearEnd(Message):
        """The reader comes to the end of what is loaded."""

    def __init__(self) -> None:
        super().__init__(cursor_type="row", cursor_foreground_priority="renderable", id="jobs-table")
        self.device_names: dict[str, str] = {}
        self._views: dict[str, JobView] = {}
        self._layout: list[rows.Column] = []
        self._wanted: str | None = None
        self.marked: set[str] = set()
        """Ids of marked jobs; some may have left the list."""

    def mark(self, marked: set[str]) -> None:
        """Mark these, and no others."""
        changed, self.marked = marked ^ self.marked, marked
        for job_id in changed & self._views.keys():
            self._change(self._views[job_id])

    def on_resize(self, event: Resize) -> None:
        self._lay_out(event.size.width - self.styles.scrollbar_size_vertical)

    @property
    def selected_id(self) -> str | None:
        """Id of the job under the cursor."""
        if not self.is_valid_row_index(self.cursor_row):
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value

    def put(self, views: list[JobView]) -> None:
        """Add jobs or change their rows in place; the cursor stays on its job."""
        if not self._layout:
            self._views.update({view.id: view for view in views})
            return
        kept = self.selected_id
        added = [view for view in views if view.id not in self._views]
        for view in views:
            if view.id in self._views:
                self._change(view)
        for view in added:
            self._views[view.id] = view
            self.add_row(*self._cells(view), key=view.id)
        if added:
            self.sort("id", key=lambda cell: cell.order, reverse=True)
            self._hold(kept)

    def drop(self, job_id: str) -> None:
        """Remove a job's row."""
        if self._views.pop(job_id, None) is not None:
            kept = self.selected_id
            self.remove_row(job_id)
            self._hold(kept if kept != job_id else None)

    def select(self, job_id: str) -> None:
        """Move the cursor to a job; before there is a layout, to where it will be."""
        if not self._layout:
            self._wanted = job_id
        elif job_id in self._views:
            self.move_cursor(row=self.get_row_index(job_id))

    def empty(self) -> None:
        """Remove all rows."""
        self._views.clear()
        self.clear()

    def name_devices(self, names: Mapping[str, str]) -> None:
        """Show devices by these names from now on."""
        if names != self.device_names:
            self.device_names = dict(names)
            for view in self._views.values():
                self._change(view)

    def grow_older(self) -> None:
        """Bring ages up to date."""
        now = format.now()
        for job_id, view in self._views.items():
            self._set(job_id, "age", rows.age(view, now))

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        if self.max_scroll_y and new >= self.max_scroll_y - NEAR_END_ROWS:
            self.post_message(self.NearEnd())

    def _lay_out(self, width: int) -> None:
        """Choose the columns for a width. Only another set of columns makes new rows; another width does not."""
        wanted = rows.columns(width)
        if [column.key for column in wanted] != [column.key for column in self._layout]:
            kept, views = self.selected_id or self._wanted, list(self._views.values())
            self.clear(columns=True)
            self._views.clear()
            self._layout = wanted
            for column in wanted:
                self.add_column(column.title, width=column.width, key=column.key)
            self.put(views)
            self._hold(kept)
        elif wanted != self._layout:
            self._layout = wanted
            for column in wanted:
                self.columns[ColumnKey(column.key)].width = column.width
            self._require_update_dimensions = True
            self._clear_caches()
            for view in list(self._views.values()):
                self._change(view)

    def _all_cells(self, view: JobView) -> dict[str, object]:
        width = next((column.width for column in self._layout if column.key == rows.FLEXIBLE), 20)
        return dict(rows.cells(view, format.now(), width, self.device_names, marked=view.id in self.marked))

    def _cells(self, view: JobView) -> list[object]:
        cells = self._all_cells(view)
        return [cells[column.key] for column in self._layout]

    def _change(self, view: JobView) -> None:
        self._views[view.id] = view
        cells = self._all_cells(view)
        for column in self._layout:
            self._set(view.id, column.key, cells[column.key])

    def _set(self, job_id: str, column: str, value: object) -> None:
        if column in {each.key for each in self._layout} and self.get_cell(job_id, column) != value:
            self.update_cell(job_id, column, value)

    def _hold(self, job_id: str | None) -> None:
        """Put the cursor back on a job after rows moved, without moving what is on the screen."""
        if job_id is None or job_id not in self._views:
            return
        index = self.get_row_index(job_id)
        moved = index - self.cursor_row
        if moved:
            at_top = self.scroll_y == 0
            self.move_cursor(row=index, scroll=False)
            if not at_top:
                self.scroll_to(y=self.scroll_y + moved, animate=False)
