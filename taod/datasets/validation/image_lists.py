"""Writes the lists of images that segmentation tools read."""

from __future__ import annotations

import os
from pathlib import Path

from taod.datasets.names import is_junk
from taod.datasets.validation.layouts import IMAGE_SUFFIXES

LISTED = ("images", "masks")


def write_lists(top: Path) -> None:
    """Write `images.txt` and `masks.txt`: one path a line, relative to `top`, sorted. An existing list is kept."""
    for folder in LISTED:
        file = top / f"{folder}.txt"
        if not (top / folder).is_dir() or file.exists():
            continue
        with file.open("w", encoding="utf-8") as out:
            for where, inner, names in os.walk(top / folder):
                inner.sort()
                relative = Path(where).relative_to(top)
                out.writelines(
                    f"{relative}/{name}\n"
                    for name in sorted(names)
                    if not is_junk(name) and Path(name).suffix.lower() in IMAGE_SUFFIXES
                )
