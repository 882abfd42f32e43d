"""Reading of KITTI label files just what a summary needs: how many objects each class has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

_IGNORED = "dontcare"
"""KITTI's name for regions that are no objects."""


def class_counts(labels: Path) -> dict[str, int]:
    """Objects by class, in the order of the names; a line's first word is its class."""
    counts: Counter[str] = Counter()
    for file in labels.rglob("*.txt"):
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name = line.partition(" ")[0].strip()
                if name and name.lower() != _IGNORED:
                    counts[name] += 1
    return dict(sorted(counts.items()))
