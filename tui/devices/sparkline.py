"""The last minutes of a reading as a sparkline. Pure."""

from __future__ import annotations

from collections import deque

from rich.text import Text

from tui import format
from tui.theme import LINE

SPAN_S = 180.0
"""Time that a sparkline covers."""
MOST_READINGS = 2_000
BARS = "▁▂▃▄▅▆▇█"


class ReadingHistory:
    """Readings of a share between 0 and 1, each with its time (seconds, monotonic)."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, float]] = deque(maxlen=MOST_READINGS)

    def add(self, at: float, share: float) -> None:
        """Add a reading. Drops older ones, except the last before the span: it is the value at the span's start."""
        self._readings.append((at, max(0.0, min(1.0, share))))
        while len(self._readings) > 1 and self._readings[1][0] < at - SPAN_S:
            self._readings.popleft()

    def shares(self, now: float, count: int) -> list[float | None]:
        """Means over `count` equal parts of the span, oldest first. A part without a reading repeats the one before it;
        parts before the first reading are None."""
        length, begin = SPAN_S / count, now - SPAN_S
        sums, counts = [0.0] * count, [0] * count
        last: float | None = None
        for at, share in self._readings:
            if at < begin:
                last = share
                continue
            part = min(count - 1, int((at - begin) / length))
            sums[part] += share
            counts[part] += 1
        means: list[float | None] = []
        for total, number in zip(sums, counts, strict=True):
            last = total / number if number else last
            means.append(last)
        return means

    def drawn(self, now: float, cells: int) -> Text:
        """A sparkline of `cells` bars, coloured by load."""
        text = Text()
        for share in self.shares(now, cells):
            if share is None:
                text.append(BARS[0], style=LINE)
            else:
                text.append(BARS[min(len(BARS) - 1, int(share * len(BARS)))], style=format.heat(share))
        return text
