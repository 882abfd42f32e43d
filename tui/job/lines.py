"""Bytes of a log as lines that a screen can show: what is carried over from piece to piece, and a bound. Pure."""

from __future__ import annotations

import codecs
import re
from collections import deque

ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]")
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
TAB_CELLS = 4


class LogLines:
    """The last `limit` lines of a log, each `longest` characters at most.

    A carriage return takes back what the line said before it, as a terminal does: of a progress bar, only the last
    state is kept. Colours are left out.
    """

    def __init__(self, limit: int = 10_000, longest: int = 2_000) -> None:
        self._done: deque[str] = deque(maxlen=limit)
        self._open = ""
        self._longest = longest
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.dropped = 0
        """How many lines have been let go at the top."""

    def __len__(self) -> int:
        return len(self._done) + bool(self._open)

    def __getitem__(self, index: int) -> str:
        if index == len(self._done):
            return self._clean(self._open)
        return self._done[index]

    def feed(self, data: bytes) -> int:
        """Take more of the log; returns how many lines this pushed out at the top."""
        *whole, self._open = (self._open + self._decoder.decode(data)).split("\n")
        limit = self._done.maxlen or 0
        before = len(self._done)
        for line in whole:
            self._done.append(self._clean(line))
        pushed = max(0, before + len(whole) - limit)
        self.dropped += pushed
        if len(self._open) > self._longest and "\r" in self._open:
            self._open = self._open[self._open.rindex("\r", 0, len(self._open) - 1) :]
        return pushed

    def _clean(self, line: str) -> str:
        """What a terminal would have left of the line."""
        if "\r" in line:
            parts = [part for part in line.split("\r") if part]
            line = parts[-1] if parts else ""
        line = UNSEEN.sub("", ESCAPES.sub("", line).expandtabs(TAB_CELLS))
        return line if len(line) <= self._longest else line[: self._longest] + "…"
