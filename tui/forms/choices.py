"""A list for multiple choices that marks only the chosen ones, so that no colour is needed to see them."""

from __future__ import annotations

from typing import TypeVar

from rich.segment import Segment
from textual.strip import Strip
from textual.widgets import SelectionList
from textual.widgets.option_list import OptionDoesNotExist

T = TypeVar("T")


class Choices(SelectionList[T]):
    """`SelectionList` draws a mark on every line and distinguishes chosen lines by colour only."""

    def render_line(self, y: int) -> Strip:
        line = super().render_line(y)
        try:
            option = self.get_option_at_index(self.scroll_offset.y + y)
        except OptionDoesNotExist:
            return line
        if option.value in self.selected:
            return line
        left, mark, *rest = line
        return Strip([left, Segment(" " * len(mark.text), mark.style, mark.control), *rest], line.cell_length)
