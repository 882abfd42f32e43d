"""The SQL that lists share: conditions, sort orders, page limits."""

from __future__ import annotations

from taod.types.common import JobSort, Sort

ORDER: dict[Sort | JobSort, str] = {
    Sort.DATE_DESCENDING: "created_on DESC, id DESC",
    Sort.DATE_ASCENDING: "created_on, id",
    Sort.NAME_DESCENDING: "name DESC, id DESC",
    Sort.NAME_ASCENDING: "name, id",
    JobSort.DATE_DESCENDING: "created_on DESC, id DESC",
    JobSort.DATE_ASCENDING: "created_on, id",
}
"""Each order is total and has an index."""


class Where:
    """A conjunction of conditions with their parameters."""

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.parameters: list[object] = []

    def add(self, condition: str, *parameters: object) -> None:
        self._conditions.append(condition)
        self.parameters.extend(parameters)

    def equal(self, column: str, value: object) -> None:
        """Require that the column has this value; None requires nothing."""
        if value is not None:
            self.add(f"{column} = ?", value)

    def require_text(self, column: str, text: str | None) -> None:
        """Require that the column, which is stored case-folded, contains the text; there are no wildcards."""
        if text:
            self.add(f"instr({column}, ?)", text.casefold())

    @property
    def sql(self) -> str:
        return " AND ".join(self._conditions) or "TRUE"


def limit(size: int | None, left: int | None = None) -> int:
    """SQLite's LIMIT for a page of `size` rows; None: all rows.

    `left` is the number of matches from the first row of the page on, if known: with it, the scan ends at the last
    match instead of the end of the table.
    """
    if size is None or left is None:
        return -1 if size is None else size
    return min(size, left)
