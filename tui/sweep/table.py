"""The table of trials: its columns are the parameters of the sweep that is shown."""

from __future__ import annotations

from collections.abc import Sequence

from tui.lists.table import ThingsTable
from tui.live import delivery


class TrialTable(ThingsTable):
    """Rows by the trial's number."""

    def __init__(self) -> None:
        super().__init__((), id="trials-table")

    @delivery
    def lay_out(self, columns: Sequence[tuple[str, str, int]]) -> None:
        """Have these columns; other ones than before make an empty table."""
        if list(columns) == list(self._columns):
            return
        self.clear(columns=True)
        self._columns = columns
        for key, title, width in columns:
            self.add_column(title, width=width or 10, key=key)
        self.on_resize()
