"""The table of jobs, drawn line by line: the cost depends on the visible rows, not on the loaded ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from taod.types.job import JobView
from tui import format
from tui.jobs import rows
from tui.jobs.order import SAME, Heading, Order, Row, arranged
from tui.live import LiveNode, delivery
from tui.theme import DIM, GREEN, SOFT, TEXT

NEAR_END_ROWS = 20
REARRANGE_S = 0.3
"""Shortest interval between two sortings after jobs changed."""
KEPT_STRIPS = 400


class JobsTable(LiveNode, ScrollView, can_focus=True):
    """Draws the jobs passed to `put`. The cursor stays on its job when rows move."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"jobs--cursor", "jobs--head"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Zoom", tooltip="Show the selected job on the whole screen"),
        Binding("up", "cursor_up", "Up", show=False),
        Binding("down", "cursor_down", "Down", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
        Binding("home", "first", "First job", show=False),
        Binding("end", "last", "Last job", show=False),
    ]

    class Moved(Message):
        """Another job is under the cursor, or none."""

    class Opened(Message):
        """The user opened the selected job."""

    class NearEnd(Message):
        """The user is near the end of the loaded jobs; `whole`: the user asked for the last job of all."""

        def __init__(self, whole: bool = False) -> None:
            super().__init__()
            self.whole = whole

    class HeadClicked(Message):
        """The title of a column was clicked."""

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    def __init__(self) -> None:
        super().__init__(id="jobs-table")
        self.device_names: dict[str, str] = {}
        self.marked: set[str] = set()
        """Ids of marked jobs; some may have left the list."""
        self.trends: Mapping[str, int] = {}
        """By job id: whether its metric improved (1) or worsened (-1)."""
        self.order = Order()
        self._views: dict[str, JobView] = {}
        self._rows: list[Row] = []
        self._places: dict[str, int] = {}
        self._cursor: str | None = None
        self._layout: list[rows.Column] = []
        self._strips: dict[str, tuple[object, Strip]] = {}
        """Cache of drawn lines by job id: the inputs other than the job itself, and the line."""
        self._rearranging = False

    # Contents

    @property
    def rows(self) -> list[str]:
        """Ids of the jobs from top to bottom."""
        return [row for row in self._rows if isinstance(row, str)]

    @property
    def columns(self) -> list[str]:
        """Keys of the columns that this width shows."""
        return [column.key for column in self._layout]

    @property
    def selected_id(self) -> str | None:
        """Id of the job under the cursor."""
        return self._cursor

    @property
    def cursor_row(self) -> int:
        return self._places.get(self._cursor or "", -1)

    @property
    def row_count(self) -> int:
        return len(self._rows)

    def row_of(self, job_id: str) -> int:
        """Row of a job. Raises KeyError for a job that is not listed."""
        return self._places[job_id]

    def cell(self, job_id: str, column: str) -> Text:
        """Text of a cell. Raises KeyError for an unknown job or column."""
        return self._cells(self._views[job_id])[column]

    def _cells(self, view: JobView) -> dict[str, Text]:
        width = next((column.width for column in self._layout if column.key == rows.FLEXIBLE), 20)
        marked, trend = view.id in self.marked, self.trends.get(view.id, 0)
        return rows.cells(view, format.now(), width, self.device_names, marked=marked, trend=trend)

    # Updates by the owner

    @delivery
    def put(self, views: Sequence[JobView]) -> None:
        """Add jobs, or change their rows in place."""
        known = len(self._views)
        self._views.update((view.id, view) for view in views)
        if len(self._views) != known:
            self._arrange()
        elif self.order.column != "age":
            self._arrange_soon()
        for view in views:
            self._strips.pop(view.id, None)
            self._refresh_row(view.id)

    @delivery
    def drop(self, job_ids: Sequence[str]) -> None:
        """Remove jobs; the cursor moves to the job that takes the row of a removed one."""
        gone = [job_id for job_id in job_ids if self._views.pop(job_id, None) is not None]
        if gone:
            self._arrange()

    @delivery
    def select(self, job_id: str) -> None:
        """Move the cursor to a listed job."""
        if job_id in self._places:
            self._move_cursor(self._places[job_id])

    @delivery
    def mark(self, marked: set[str]) -> None:
        """Mark these jobs and no others."""
        self.marked = marked
        self.refresh()

    @delivery
    def name_devices(self, names: Mapping[str, str]) -> None:
        """Show devices by these names from now on."""
        if names != self.device_names:
            self.device_names = dict(names)
            self._redraw()

    @delivery
    def arrange_by(self, order: Order) -> None:
        """Show the jobs in this order; the cursor stays on its job."""
        if order != self.order:
            self.order = order
            self._arrange()
            self._show_cursor()

    @delivery
    def update_ages(self) -> None:
        """Update the ages."""
        self.refresh()

    def _redraw(self) -> None:
        self._strips.clear()
        self.refresh()

    # Order and cursor

    def _arrange_soon(self) -> None:
        if not self._rearranging:
            self._rearranging = True
            self.set_timer(REARRANGE_S, self._arrange)

    def _arrange(self) -> None:
        """Sort the rows; keep the visible rows in place unless the list is scrolled to its top."""
        self._rearranging = False
        before = self.cursor_row
        self._rows = arranged(self._views, self.order)
        self._places = {row: place for place, row in enumerate(self._rows) if isinstance(row, str)}
        if self._cursor not in self._places:
            self._set_cursor(self._job_near(max(0, before), 1))
        elif before >= 0 and self.scroll_y > 0 and (moved := self.cursor_row - before):
            self._measure()
            self.scroll_to(y=self.scroll_y + moved, animate=False, immediate=True)
        self._measure()
        self.refresh()

    def _measure(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._rows) + 1)

    def _job_near(self, place: int, direction: int) -> str | None:
        """The job at a row, or the next one in the direction, or else in the opposite direction."""
        if not self._rows:
            return None
        place = max(0, min(len(self._rows) - 1, place))
        for step in (direction, -direction):
            at = place
            while 0 <= at < len(self._rows):
                if isinstance(row := self._rows[at], str):
                    return row
                at += step
        return None

    def _set_cursor(self, job_id: str | None) -> None:
        if job_id == self._cursor:
            return
        before, self._cursor = self._cursor, job_id
        for each in (before, job_id):
            if each is not None:
                self._refresh_row(each)
        self.post_message(self.Moved())

    def _move_cursor(self, place: int, direction: int = 1) -> None:
        self._set_cursor(self._job_near(place, direction))
        self._show_cursor()

    def _show_cursor(self) -> None:
        """Scroll as little as possible to show the cursor and the heading above it."""
        row, height = self.cursor_row, self.size.height - 1
        if row < 0 or height <= 0:
            return
        over = row - 1 if row and isinstance(self._rows[row - 1], Heading) else row
        if over < self.scroll_y:
            self.scroll_to(y=over, animate=False, immediate=True)
        elif row >= self.scroll_y + height:
            self.scroll_to(y=row - height + 1, animate=False, immediate=True)

    def action_cursor_up(self) -> None:
        self._move_cursor(self.cursor_row - 1, -1)

    def action_cursor_down(self) -> None:
        self._move_cursor(self.cursor_row + 1)

    def action_page_up(self) -> None:
        self._move_cursor(self.cursor_row - max(1, self.size.height - 2), -1)

    def action_page_down(self) -> None:
        self._move_cursor(self.cursor_row + max(1, self.size.height - 2))

    def action_first(self) -> None:
        self._move_cursor(0)

    def action_bottom(self) -> None:
        """Go to the last loaded job."""
        self._move_cursor(len(self._rows) - 1, -1)

    def action_last(self) -> None:
        self.action_bottom()
        self.post_message(self.NearEnd(whole=True))

    def action_open(self) -> None:
        if self._cursor is not None:
            self.post_message(self.Opened())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self.max_scroll_y and new_value >= self.max_scroll_y - NEAR_END_ROWS:
            self.post_message(self.NearEnd())

    def on_click(self, event: Click) -> None:
        event.stop()
        if event.y == 0:
            at = 0
            for column in self._layout:
                at += column.width + rows.PADDING
                if event.x < at:
                    self.post_message(self.HeadClicked(column.key))
                    return
        elif (place := int(self.scroll_y) + event.y - 1) < len(self._rows):
            self._move_cursor(place)
            if event.chain == 2:
                self.action_open()

    # Drawing

    def on_resize(self, event: Resize) -> None:
        self._layout = rows.columns(event.size.width)
        self._measure()
        self._strips.clear()
        self._show_cursor()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def _refresh_row(self, job_id: str) -> None:
        place = self._places.get(job_id)
        if place is not None:
            y = place - int(self.scroll_y) + 1
            if 0 < y < self.size.height:
                self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return self._head(width)
        place = int(self.scroll_y) + y - 1
        if place >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[place]
        if isinstance(row, Heading):
            return self._heading(row, width)
        view = self._views[row]
        drawn_from = (
            row == self._cursor and (2 if self.has_focus else 1), row in self.marked, self.trends.get(row, 0),
            format.age(view.created_on, format.now()),
        )  # fmt: skip
        known = self._strips.get(row)
        if known is None or known[0] != drawn_from:
            if len(self._strips) > KEPT_STRIPS:
                self._strips.clear()
            known = self._strips[row] = drawn_from, self._row(view, width)
        return known[1]

    def _row(self, view: JobView, width: int) -> Strip:
        cells = self._cells(view)
        style = self.rich_style
        if view.id == self._cursor:
            style += Style(bgcolor=self.get_component_rich_style("jobs--cursor").bgcolor)
        return self._line([(cells[column.key], column.width) for column in self._layout], width, style)

    def _head(self, width: int) -> Strip:
        ordered, sign = self.order.column, "▼" if self.order.largest_first else "▲"
        titles = []
        for column in self._layout:
            title = Text(column.title, style=DIM, no_wrap=True)
            is_shown = column.title and column.key != "id" and not self.order.is_default
            if is_shown and SAME.get(column.key, column.key) == ordered:
                title = Text(column.title[: column.width - 1], style=SOFT).append(sign, style=GREEN)
            titles.append((title, column.width))
        return self._line(titles, width, self.rich_style)

    def _heading(self, heading: Heading, width: int) -> Strip:
        text = Text(f"{heading.name}  ", style=f"bold {TEXT}", no_wrap=True)
        text.append(heading.network, style=DIM).append(f"  {heading.jobs}", style=SOFT)
        return self._line([(text, width - rows.PADDING)], width, self.rich_style)

    def _line(self, cells: Sequence[tuple[Text, int]], width: int, style: Style) -> Strip:
        segments: list[Segment] = []
        console, space = self.app.console, Segment(" ")
        for text, room in cells:
            text.truncate(room, overflow="ellipsis", pad=True)
            text.end = ""
            segments += [space, *text.render(console), space]
        return Strip(segments).apply_style(style).adjust_cell_length(width, style)
