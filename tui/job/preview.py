"""Previews of files by name and contents. Pure."""

from __future__ import annotations

import csv
import io
import json
from pathlib import PurePosixPath

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tui.job.tree import tree
from tui.theme import DIM, SOFT, TEXT

TEXT_BYTES = 64 * 1024
"""Bytes of a file that are read for its preview."""
IMAGE_BYTES = 20 * 1024 * 1024
"""Larger images are only saved."""
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"})
MOST_ROWS = 200


def is_image(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in IMAGES


def preview(path: str, data: bytes, size: int) -> RenderableType:
    """A preview from `data`, the beginning of a file of `size` bytes."""
    whole = len(data) >= size
    if b"\0" in data[:4096]:
        return Text("Binary file: no preview.", style=DIM)
    text = data.decode("utf-8", "replace")
    suffix = PurePosixPath(path).suffix.lower()
    if suffix == ".csv":
        return _table(text)
    if whole and suffix in (".json", ".yaml", ".yml"):
        import yaml

        try:
            document = json.loads(text) if suffix == ".json" else yaml.safe_load(text)
        except (ValueError, yaml.YAMLError):
            document = None
        if isinstance(document, dict):
            return tree(document)
        if isinstance(document, list):
            return tree({"": document})
    shown = Text(text, style=TEXT)
    return shown if whole else shown.append("\n… save the file to see the rest", style=DIM)


def _table(text: str) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=f"bold {SOFT}")
    rows = list(csv.reader(io.StringIO(text)))[: MOST_ROWS + 1]
    if not rows:
        return Text("Empty file.", style=DIM)
    for name in rows[0]:
        table.add_column(name)
    for row in rows[1:]:
        table.add_row(*(Text(value, style=TEXT) for value in row[: len(rows[0])]))
    return table
