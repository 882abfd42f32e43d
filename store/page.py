"""The SQL that lists share: filters that all must hold, orders, pages."""

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
"""Each is total, and lies in an index."""


class Where:
    """Conditions that all must hold, with their parameters."""

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.parameters: list[object] = []

    def add(self, condition: str, *parameters: object) -> None:
        self._conditions.append(condition)
        self.parameters.extend(parameters)

    def equal(self, column: str, value: object) -> None:
        """Narrow to rows where the column has this value; None does not narrow."""
        if value is not None:
            self.add(f"{column} = ?", value)

    def within(self, column: str, text: str | None) -> None:
        """Narrow to rows whose case-folded column contains the text, whatever its case; nothing in it is special."""
        if text:
            self.add(f"instr({column}, ?)", text.casefold())

    @property
    def sql(self) -> str:
        return " AND ".join(self._conditions) or "TRUE"


def limit(size: int | None, left: int | None = None) -> int:
    """SQLite's LIMIT for a page of `size` rows; None: all of them. `left` is how many there are from the page's first
    on, where that is known: the search then ends at the last one that matches, not at the end of the table."""
    if size is None or left is None:
        return -1 if size is None else size
    return min(size, left)
