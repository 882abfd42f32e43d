"""A bounded window of a log as displayable lines; it grows at both ends. Pure."""

from __future__ import annotations

import re
from collections import deque

ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]")
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
TAB_CELLS = 4
OPEN_BYTES = 64 * 1024
"""Bytes that are kept of an unfinished line; the rest of a longer one is dropped."""


class LogLines:
    """At most `limit` lines of a log, each at most `longest` characters; `start` and `end` are byte offsets.

    A carriage return restarts the line, as in a terminal: only the last state of a progress bar is kept. Colours are
    removed.
    """

    def __init__(self, limit: int = 10_000, longest: int = 2_000, start: int = 0) -> None:
        self._lines: deque[str] = deque()
        self._sizes: deque[int] = deque()
        self._open = bytearray()
        self._open_size = 0
        self._limit, self._longest = limit, longest
        self.start = self.end = start

    def __len__(self) -> int:
        return len(self._lines) + bool(self._open_size)

    def __getitem__(self, index: int) -> str:
        if index == len(self._lines):
            return self._shown(bytes(self._open), "ignore")
        return self._lines[index]

    def feed(self, data: bytes) -> int:
        """Append bytes; returns the number of lines dropped at the top."""
        self.end += len(data)
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._open += piece
            self._lines.append(self._shown(bytes(self._open)))
            self._sizes.append(self._open_size + len(piece) + 1)
            self._open.clear()
            self._open_size = 0
        self._open += rest
        self._open_size += len(rest)
        self._shorten_open()
        pushed = max(0, len(self._lines) - self._limit)
        for _ in range(pushed):
            self._lines.popleft()
            self.start += self._sizes.popleft()
        return pushed

    def prepend(self, data: bytes, start: int) -> int:
        """Prepend the bytes from `start` to `self.start`; returns the number of lines added at the top.

        A partial first line is skipped, except at the beginning of the file. Lines beyond the limit are dropped at
        the bottom, and `end` moves up.
        """
        if start > 0:
            cut = data.find(b"\n") + 1  # 0 if one line exceeds the part: its end is shown
            data, start = data[cut:], start + cut
        pieces = data.split(b"\n")
        last = pieces.pop()
        if last:
            pieces.append(last)
        for piece in reversed(pieces):
            self._lines.appendleft(self._shown(piece))
            self._sizes.appendleft(len(piece) + 1)
        self.start = start
        if len(self._lines) > self._limit and self._open_size:
            self.end -= self._open_size
            self._open.clear()
            self._open_size = 0
        while len(self._lines) > self._limit:
            self._lines.pop()
            self.end -= self._sizes.pop()
        return len(pieces)

    def line_at(self, offset: int) -> int:
        """Index of the line that holds this byte of the file; the nearest line for a byte outside the window."""
        at = self.start
        for index, size in enumerate(self._sizes):
            at += size
            if offset < at:
                return index
        return max(0, len(self) - 1)

    def offset_of(self, index: int) -> int:
        """Byte offset in the file at which a line begins."""
        return self.start + sum(self._sizes[each] for each in range(min(index, len(self._sizes))))

    def _shorten_open(self) -> None:
        """Cut an unfinished line to what a terminal would show, up to a limit."""
        if len(self._open) > self._longest and (back := self._open.rfind(b"\r", 0, len(self._open) - 1)) > 0:
            del self._open[:back]
        del self._open[OPEN_BYTES:]

    def _shown(self, raw: bytes, errors: str = "replace") -> str:
        """The line as a terminal would show it."""
        line = raw.decode("utf-8", errors)
        if "\r" in line:
            parts = [part for part in line.split("\r") if part]
            line = parts[-1] if parts else ""
        line = UNSEEN.sub("", ESCAPES.sub("", line).expandtabs(TAB_CELLS))
        return line if len(line) <= self._longest else line[: self._longest] + "…"
