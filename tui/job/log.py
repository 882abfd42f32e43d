"""The tab of the log: drawn line by line, followed while the run writes it, loaded in both directions.

Only a window of the log is kept in memory; scrolling and searching move it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import aclosing
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import work
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from taod.client import AsyncClient, ClientError, NoDaemon
from taod.types.job import JobView
from tui.job.lines import LogLines
from tui.job.scan import Scan
from tui.live import LiveNode, delivery
from tui.theme import DIM, GREEN, RED, SURFACE, TEXT, YELLOW

TAIL_LINES = 1_000
WINDOW_LINES = 20_000
PART_BYTES = 256 * 1024
"""Bytes that are read at once while scrolling."""
NEAR_ROWS = 30
"""Distance from the edge of the window at which the next part is read."""
TROUBLE = r"\b(?:ERROR|CRITICAL|FATAL|FAILURE|Traceback|[A-Z]\w*Error)\b"
SETTLE_S = 0.06
"""A job must stay selected for this time before its log is requested: moving through the list opens no streams."""
RETRY_S = 1.0
"""Delay before reopening a log stream that broke while the event stream is connected."""

LEVELS = (
    (re.compile(TROUBLE), Style.parse(RED)),
    (re.compile(r"\b(WARN|WARNING|\w*Warning)\b"), Style.parse(YELLOW)),
    (re.compile(r"\bSUCCESS\b"), Style.parse(GREEN)),
    (re.compile(r"\b(DEBUG|TRACE)\b"), Style.parse(DIM)),
)
PLAIN = Style.parse(TEXT)
FADED = Style.parse(DIM)
FOUND = Style.parse(f"{SURFACE} on {YELLOW}")
STAMP = re.compile(r"^\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*\s?|^\[?\d\d:\d\d:\d\d\S*\s?")


def paint(line: str, sought: re.Pattern[str] | None = None) -> list[Segment]:
    """A line with a dimmed timestamp, the colour of its level, and marked matches."""
    style = next((style for pattern, style in LEVELS if pattern.search(line)), PLAIN)
    stamp = STAMP.match(line)
    parts = [(line, style)] if stamp is None else [(line[: stamp.end()], FADED), (line[stamp.end() :], style)]
    if sought is None:
        return [Segment(text, each) for text, each in parts]
    return [segment for text, each in parts for segment in _marked(text, each, sought)]


def _marked(text: str, style: Style, sought: re.Pattern[str]) -> Iterator[Segment]:
    at = 0
    for match in sought.finditer(text):
        yield Segment(text[at : match.start()], style)
        yield Segment(match.group(), FOUND)
        at = match.end()
    yield Segment(text[at:], style)


class LogView(LiveNode, ScrollView, can_focus=True):
    """Follows a log while it is scrolled to the end; otherwise keeps the scroll position."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/", tooltip="Search in the whole log"),
        Binding("n", "next(-1)", "Before", show=False, tooltip="Match before this one"),
        Binding("N", "next(1)", "After", show=False, tooltip="Match after this one"),
        Binding("e", "trouble(-1)", "Error", show=False, tooltip="The error before this one"),
        Binding("E", "trouble(1)", "Error after", show=False, tooltip="The error after this one"),
        Binding("home", "beginning", "Beginning", show=False, tooltip="Beginning of the log"),
        Binding("end", "ending", "End", show=False, tooltip="End of the log, and follow it"),
    ]

    class Following(Message):
        """Whether the view scrolls to new lines."""

        def __init__(self, following: bool) -> None:
            super().__init__()
            self.following = following

    class SearchRequested(Message):
        """Open the search line."""

    class SearchState(Message):
        """Progress or result of a search; empty when there is none."""

        def __init__(self, words: str) -> None:
            super().__init__()
            self.words = words

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(id="log-view")
        self._client = client
        self._lines = LogLines(WINDOW_LINES)
        self._job_id: str | None = None
        self._reason = ""
        self._offset = 0
        """Position of the stream in bytes; beyond the window if the window was moved up."""
        self._job_changed = False
        """Whether the job changed since its log was requested last."""
        self._note = ""
        self._at_end = True
        self._widest = 0
        self._sought: re.Pattern[str] | None = None
        self._found: int | None = None
        """Byte offset of the line of the last match."""

    @property
    def lines(self) -> LogLines:
        return self._lines

    @property
    def following(self) -> bool:
        return self._at_end and self._attached

    @property
    def _attached(self) -> bool:
        """Whether the window ends at the position of the stream."""
        return self._lines.end == self._offset

    @delivery
    def show(self, view: JobView | None) -> None:
        """Show the log of this job instead of the last one."""
        self._job_id = view.id if view is not None else None
        self._reason = view.reason if view is not None else ""
        self.workers.cancel_group(self, "part")
        self._found = None
        self._clear("" if view is not None else "No job is selected.")
        if view is None:
            self.workers.cancel_group(self, "log")
        else:
            self._follow(view.id)

    @delivery
    def more(self, view: JobView) -> None:
        """The job changed: follow its log again if the stream has ended."""
        self._reason = view.reason
        if view.id == self._job_id:
            self._job_changed = True
            if not self.is_working("log"):
                self._follow(view.id)

    def _clear(self, note: str) -> None:
        self._offset = 0
        self._lines, self._widest = LogLines(WINDOW_LINES), 0
        self._note = note
        self._measure()
        self.scroll_to(0, 0, animate=False, immediate=True, force=True)
        self._at_end = True

    @work(group="log", exclusive=True)
    async def _follow(self, job_id: str) -> None:
        await asyncio.sleep(SETTLE_S)
        self._job_changed = True
        while self._job_changed:  # the job may run again before the last stream has ended
            self._job_changed = False
            await self._read(job_id)

    async def _read(self, job_id: str) -> None:
        try:
            if self._offset == 0:
                part = await self._client.logs.tail(job_id, TAIL_LINES)
                self._lines = LogLines(WINDOW_LINES, start=part.end - len(part.data))
                self._note = "" if part.data else f"Nothing in the log yet: {self._reason}"
                self._take(part.data)
            async with aclosing(self._client.logs.follow(job_id, self._offset)) as pieces:
                async for piece in pieces:
                    self._take(piece)
        except NoDaemon:
            if self._client.keep_asking is None or not self._client.keep_asking():
                return  # the event stream is lost too; after a reconnect every job is shown again
            await asyncio.sleep(RETRY_S)
            self._job_changed = True
        except ClientError as error:
            if not (error.status in (404, 416) and not len(self._lines)):
                self._note = f"The log cannot be read: {error.description}"
            self.refresh()

    def _take(self, data: bytes) -> None:
        """Add bytes of the stream; they are not shown while the window is further up."""
        attached = self._attached or not len(self._lines)
        self._offset = max(self._offset, self._lines.end) + len(data) if attached else self._offset + len(data)
        if not attached:
            return
        known = len(self._lines)
        pushed = self._lines.feed(data)
        self._widen(max(0, known - pushed - 1), len(self._lines))
        self._measure()
        if self._at_end:
            self.scroll_end(animate=False, x_axis=False)
        elif pushed:
            self.scroll_to(y=max(0, self.scroll_y - pushed), animate=False, immediate=True)

    def _widen(self, first: int, last: int) -> None:
        for index in range(first, last):
            self._widest = max(self._widest, len(self._lines[index]))

    def _measure(self) -> None:
        self.virtual_size = Size(self._widest + 1, len(self._lines))
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        at_end = new_value >= self.max_scroll_y
        if at_end != self._at_end:
            self._at_end = at_end
            self.post_message(self.Following(self.following))
        if new_value < old_value and new_value < NEAR_ROWS and self._lines.start > 0:
            self._read_before()
        elif new_value > old_value and new_value > self.max_scroll_y - NEAR_ROWS and not self._attached:
            self._read_after()

    @work(group="part", exclusive=True)
    async def _read_before(self) -> None:
        """Load the part above the window; the visible lines stay in place."""
        job_id, lines = self._job_id, self._lines
        begin = max(0, lines.start - PART_BYTES)
        data = await self._part(begin, lines.start)
        if job_id != self._job_id or lines is not self._lines or not data:
            return
        added = lines.prepend(data, begin)
        self._widen(0, added)
        self._measure()
        self.scroll_to(y=self.scroll_y + added, animate=False, immediate=True, force=True)

    @work(group="part", exclusive=True)
    async def _read_after(self) -> None:
        """Load the part below the window."""
        job_id, lines = self._job_id, self._lines
        data = await self._part(lines.end, min(self._offset, lines.end + PART_BYTES))
        if job_id != self._job_id or lines is not self._lines or not data:
            return
        known = len(lines)
        pushed = lines.feed(data)
        self._widen(max(0, known - pushed - 1), len(lines))
        self._measure()
        if pushed:
            self.scroll_to(y=max(0, self.scroll_y - pushed), animate=False, immediate=True, force=True)
        self.post_message(self.Following(self.following))

    async def _part(self, begin: int, end: int) -> bytes:
        try:
            return await self._client.logs.read(self._job_id or "", begin, end)
        except NoDaemon:
            return b""
        except ClientError as error:
            self.post_message(self.SearchState(f"The log cannot be read: {error.description}"))
            return b""

    async def _open_at(self, offset: int) -> None:
        """Move the window so that it contains this byte of the file."""
        if not self._lines.start <= offset < self._lines.end:
            begin = max(0, offset - PART_BYTES // 2)
            data = await self._part(begin, min(self._offset, begin + PART_BYTES))
            window = LogLines(WINDOW_LINES, start=begin)
            cut = data.find(b"\n") + 1 if begin else 0
            window.start = window.end = begin + cut
            window.feed(data[cut:])
            self._lines = window
            self._widen(0, len(window))
            self._measure()
        line = self._lines.line_at(offset)
        self.scroll_to(y=max(0, line - self.size.height // 3), animate=False, immediate=True, force=True)
        self.post_message(self.Following(self.following))
        self.refresh()

    # Actions of keys

    def action_beginning(self) -> None:
        self._move_to(0)

    def action_ending(self) -> None:
        if self._attached:
            self.scroll_end(animate=False, x_axis=False)
        elif self._job_id is not None:
            self._clear("")
            self.post_message(self.Following(True))
            self._follow(self._job_id)

    @work(group="part", exclusive=True)
    async def _move_to(self, offset: int) -> None:
        self._found = None
        await self._open_at(offset)

    def action_search(self) -> None:
        self.post_message(self.SearchRequested())

    @delivery
    def search(self, words: str) -> None:
        """Mark these words, ignoring case, and go to their last match; empty: stop searching."""
        self._sought = re.compile(re.escape(words), re.IGNORECASE) if words else None
        self._found = None
        self.post_message(self.SearchState(""))
        self.refresh()
        if words:
            self.action_next(-1)

    def action_next(self, direction: int) -> None:
        if self._sought is None:
            self.post_message(self.SearchRequested())
        else:
            self._seek(self._sought.pattern, direction)

    def action_trouble(self, direction: int) -> None:
        self._seek(TROUBLE, direction, any_case=False)

    @work(group="part", exclusive=True)
    async def _seek(self, pattern: str, direction: int, any_case: bool = True) -> None:
        """Go to the next matching line; the whole log is searched, a part at a time."""
        if self._job_id is None:
            return
        if self._found is not None:
            start = self._found
        else:
            start = self._offset if direction < 0 else self._lines.offset_of(int(self.scroll_y))
        scan = Scan(self._client, self._job_id, pattern, any_case=any_case, size=self._offset)
        try:
            async for state in scan.run(start, direction):
                self.post_message(self.SearchState(f"searching, {state:.0%} …"))
        except ClientError as error:
            self.post_message(self.SearchState(f"The log cannot be read: {error.description}"))
            return
        if scan.found is None:
            where = "above" if direction < 0 else "below"
            self.post_message(self.SearchState(f"nothing found further {where}"))
        else:
            self.post_message(self.SearchState(""))
            self._found = scan.found
            await self._open_at(scan.found)

    def on_resize(self) -> None:
        if self._at_end:
            self.scroll_end(animate=False, x_axis=False)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        index = y + self.scroll_offset.y
        base = self.rich_style
        if not len(self._lines):
            words = [Segment(self._note, FADED)] if y == 0 else []
            return Strip(words).apply_style(base).crop_extend(0, width, base)
        if index >= len(self._lines):
            return Strip.blank(width, base)
        strip = Strip(paint(self._lines[index], self._sought)).apply_style(base)
        left = self.scroll_offset.x
        strip = strip.crop_extend(left, left + width, base)
        if self._found is not None and self._lines.line_at(self._found) == index:
            return strip.apply_style(Style(bgcolor=self._lifted))
        return strip

    @property
    def _lifted(self) -> str:
        return self.app.theme_variables["selected-blurred"]
