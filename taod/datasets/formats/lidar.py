"""Reader of pointpillars' data: scan files of float32 x, y, z, reflectance, and KITTI labels in scan coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from taod.datasets.formats import kitti
from taod.datasets.formats.types import Found, Item, Label, Problem, files, stem, text_of, unreadable

POINT_BYTES = 16
_SCANS = frozenset({".bin"})
_TEXT = frozenset({".txt"})


def read(top: Path) -> Iterator[Found]:
    """The items of train and val: each scan with the label file of its name."""
    for split in ("train", "val"):
        scans = {stem(path, f"{split}/lidar"): path for path in files(top, f"{split}/lidar", _SCANS)}
        for key, path in scans.items():
            yield from _scan(top, path)
            if not (top / f"{split}/label/{key}.txt").is_file():
                yield Problem(path, 0, "the scan has no label file", f"{split}/label/{key}.txt")
        for file in files(top, f"{split}/label", _TEXT):
            key = stem(file, f"{split}/label")
            if key not in scans:
                yield Problem(file, 0, "there is no scan of this name", f"{split}/lidar/{key}.bin")
            text = text_of(top, file)
            if isinstance(text, Problem):
                yield text
                continue
            labels, problems = kitti.parse(text, file)
            yield from problems
            # The boxes are in metres, not in an image's pixels.
            yield Item("", file, [Label(label.name, line=label.line) for label in labels])


def _scan(top: Path, path: str) -> Iterator[Problem]:
    try:
        size = (top / path).stat().st_size
    except OSError as error:
        yield unreadable(path, error)
        return
    if not size or size % POINT_BYTES:
        yield Problem(path, 0, f"the scan has {size} bytes", f"a multiple of {POINT_BYTES}: 4 float32 a point")
