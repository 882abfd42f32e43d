"""Resource usage of a run: current values with short curves. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from taod.types.job import JobUsage
from tui import format
from tui.theme import BLUE, DIM, GREEN, TEAL, TEXT

KEPT = 40
STEPS = "▁▂▃▄▅▆▇█"


class Samples:
    """The last samples of one job."""

    def __init__(self) -> None:
        self._kept: deque[JobUsage] = deque(maxlen=KEPT)

    def add(self, usage: JobUsage) -> None:
        self._kept.append(usage)

    def drawn(self) -> Table:
        """One line for each value that was measured."""
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(width=10)
        if not self._kept:
            return table
        last = self._kept[-1]
        many = "" if last.processes == 1 else f" in {last.processes} processes"
        cpu = "–" if last.cpu_percent is None else f"{last.cpu_percent:.0f}%"
        figures = (
            ("cpu", cpu + many, [each.cpu_percent for each in self._kept], GREEN),
            ("memory", format.size(last.rss_bytes), [each.rss_bytes for each in self._kept], BLUE),
            ("gpu memory", format.size(last.gpu_memory_bytes), [each.gpu_memory_bytes for each in self._kept], TEAL),
        )
        for name, now, values, colour in figures:
            known = [float(value) for value in values if value is not None]
            if known:
                line = Text(f"{now:<18} ", style=TEXT, no_wrap=True).append(curve(known), style=colour)
                table.add_row(Text(name, style=DIM), line)
        return table


def curve(values: Sequence[float]) -> str:
    """One character for each value, its height relative to the largest."""
    most = max(values)
    if most <= 0:
        return STEPS[0] * len(values)
    return "".join(STEPS[min(len(STEPS) - 1, int(value / most * len(STEPS)))] for value in values)
