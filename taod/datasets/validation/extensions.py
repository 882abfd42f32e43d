"""Counts the extensions of a dataset's images, case-sensitively: `.jpg` and `.JPG` are two."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from taod.datasets.validation.layouts import IMAGE_SUFFIXES, SPLITS

MOST_LISTED = 1000
"""Most entries that are listed, for datasets summarised before extensions were counted."""


def of_roots(counts: Mapping[tuple[str, str], int], roots: list[str]) -> dict[str, int]:
    """The counts of `(folder, extension)` at and below the roots by extension, the most common first."""
    found: Counter[str] = Counter()
    for (folder, extension), count in counts.items():
        if not roots or any(folder == root or folder.startswith(f"{root}/") for root in roots):
            found[extension] += count
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))


def listed(top: Path, type_: str) -> dict[str, int]:
    """The same counts from a bounded listing of the image folders."""
    found: Counter[str] = Counter()
    left = MOST_LISTED
    for folder in SPLITS.get(type_, ()) or ("images", "images_train"):
        try:
            with os.scandir(top / folder) as entries:
                for entry in entries:
                    left -= 1
                    extension = os.path.splitext(entry.name)[1]  # noqa: PTH122
                    if extension.lower() in IMAGE_SUFFIXES:
                        found[extension] += 1
                    if left <= 0:
                        break
        except OSError:
            continue
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))
