"""The log of one job: drawn line by line, only what is on the screen, and followed while the run writes it."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing

from rich.segment import Segment
from rich.style import Style
from textual import work
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from taod.client import Client, ClientError, NoDaemon
from taod.types.job import JobView
from tui.job.lines import LogLines
from tui.theme import DIM, GREEN, RED, TEXT, YELLOW

TAIL_LINES = 1_000
SETTLE_S = 0.06
"""How long a job must stay selected before its log is asked for: who runs through the list opens no streams."""

LEVELS = (
    (re.compile(r"\b(ERROR|CRITICAL|FATAL|FAILURE|Traceback|[A-Z]\w*Error)\b"), Style.parse(RED)),
    (re.compile(r"\b(WARN|WARNING|\w*Warning)\b"), Style.parse(YELLOW)),
    (re.compile(r"\bSUCCESS\b"), Style.parse(GREEN)),
    (re.compile(r"\b(DEBUG|TRACE)\b"), Style.parse(DIM)),
)
PLAIN = Style.parse(TEXT)
FADED = Style.parse(DIM)
STAMP = re.compile(r"^\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*\s?|^\[?\d\d:\d\d:\d\d\S*\s?")


def paint(line: str) -> list[Segment]:
    """A line with its time faded and its level's colour."""
    style = next((style for pattern, style in LEVELS if pattern.search(line)), PLAIN)
    stamp = STAMP.match(line)
    if stamp is None:
        return [Segment(line, style)]
    return [Segment(line[: stamp.end()], FADED), Segment(line[stamp.end() :], style)]


class LogView(ScrollView, can_focus=True):
    """Follows a log while it is scrolled to the end; stays where the reader scrolled to otherwise."""

    class Following(Message):
        """Whether new lines come into view by themselves."""

        def __init__(self, following: bool) -> None:
            super().__init__()
            self.following = following

    def __init__(self, client: Client) -> None:
        super().__init__(id="log-view")
        self._client = client
        self._lines = LogLines()
        self._job_id: str | None = None
        self._offset = 0
        self._note = ""
        self._at_end = True
        self._widest = 0

    @property
    def lines(self) -> LogLines:
        return self._lines

    @property
    def following(self) -> bool:
        return self._at_end

    def show(self, view: JobView | None) -> None:
        """Show the log of this job, and stop showing the one before."""
        self._job_id = view.id if view is not None else None
        self._offset = 0
        self._lines, self._widest = LogLines(), 0
        self._note = "" if view is not None else "No job is selected."
        self._measure()
        self.scroll_to(0, 0, animate=False, immediate=True, force=True)
        self._at_end = True
        if view is None:
            self.workers.cancel_group(self, "log")
        else:
            self._follow(view.id, view.reason)

    def more(self, view: JobView) -> None:
        """The job went on: follow again where the stream had ended."""
        if view.id == self._job_id and not self._is_followed():
            self._follow(view.id, view.reason)

    def _is_followed(self) -> bool:
        return any(worker.group == "log" and worker.node is self and not worker.is_finished for worker in self.workers)

    @work(group="log", exclusive=True)
    async def _follow(self, job_id: str, reason: str) -> None:
        await asyncio.sleep(SETTLE_S)
        try:
            if self._offset == 0:
                part = await self._client.log_tail(job_id, TAIL_LINES)
                self._offset = part.end
                self._note = "" if part.data else f"Nothing in the log yet: {reason}"
                self._take(part.data)
            async with aclosing(self._client.follow_log(job_id, self._offset)) as pieces:
                async for piece in pieces:
                    self._offset += len(piece)
                    self._take(piece)
        except NoDaemon:
            return  # the feed sees it too; when the daemon is back, everything is shown anew
        except ClientError as error:
            if not (error.status in (404, 416) and not len(self._lines)):
                self._note = f"The log cannot be read: {error.description}"
            self.refresh()

    def _take(self, data: bytes) -> None:
        known = len(self._lines)
        pushed = self._lines.feed(data)
        for index in range(max(0, known - pushed - 1), len(self._lines)):
            self._widest = max(self._widest, len(self._lines[index]))
        self._measure()
        if self._at_end:
            self.scroll_end(animate=False, x_axis=False)
        elif pushed:
            self.scroll_to(y=max(0, self.scroll_y - pushed), animate=False, immediate=True)

    def _measure(self) -> None:
        self.virtual_size = Size(self._widest + 1, len(self._lines))
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        at_end = new_value >= self.max_scroll_y
        if at_end != self._at_end:
            self._at_end = at_end
            self.post_message(self.Following(at_end))

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
        strip = Strip(paint(self._lines[index])).apply_style(base)
        left = self.scroll_offset.x
        return strip.crop_extend(left, left + width, base)
