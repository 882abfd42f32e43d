"""Placeholder of a plot: imports the plotting library when there is something to draw."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from textual import work
from textual.containers import Vertical

from tui.live import LiveNode, delivery


class LazyPlot(LiveNode, Vertical):
    """Creates its plot on the first data and passes it the newest values."""

    def __init__(self, kind: str, id: str) -> None:
        """`kind` is module and class of a `tui.plot.Plot`."""
        super().__init__(id=id)
        self._kind = kind
        self._plot: Any = None
        self._newest: tuple[Any, ...] = ()

    @delivery
    def draw(self, *figures: Any) -> None:
        """Draw these values; no plot is created while the first of them is empty."""
        self._newest = figures
        if self._plot is not None:
            self._plot.draw(*figures)
        elif figures[0] and not self.is_working("plot"):
            self._create()

    @work(group="plot")
    async def _create(self) -> None:
        module, _, kind = self._kind.rpartition(".")
        plot = getattr(await asyncio.to_thread(importlib.import_module, module), kind)()
        await self.mount(plot)
        self._plot = plot
        plot.draw(*self._newest)
