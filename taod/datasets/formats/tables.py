"""Reads small CSV tables; each row comes with the line on which it begins."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from taod.datasets.formats.types import Problem, text_of

Row = dict[str, str]


def rows(top: Path, file: str, needs: tuple[str, ...] = ()) -> Iterator[tuple[int, Row] | Problem]:
    """(line, row by column) of a file with a header. A row whose length differs from the header's, or a header without
    a needed column, is a problem."""
    text = text_of(top, file)
    if isinstance(text, Problem):
        yield text
        return
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Problem(file, line, f"the row is not CSV: {error}", 'cells parted by commas, quoted by "')
            return
        if cells is None:
            break
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if header is None:
            header = cells
            absent = [name for name in needs if name not in header]
            if absent:
                yield Problem(file, line, f"the header lacks {', '.join(absent)}", f"columns {', '.join(needs)}")
                return
        elif len(cells) != len(header):
            yield Problem(file, line, f"the row has {len(cells)} cells", f"{len(header)}: {', '.join(header)}")
        else:
            yield line, dict(zip(header, cells, strict=True))
    if header is None:
        yield Problem(file, 1, "the file is empty", f"a header with {', '.join(needs) or 'column names'}, and rows")
