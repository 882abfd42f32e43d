"""Readers of depth: `annotations.txt` has a line for each image with paths in the dataset, separated by spaces.

Monocular: the image and its depth. Stereo: the left image, the right one, and the disparity. The last one may be absent
where nothing is measured. NVIDIA's tools read the same lines with whole paths.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

from taod.datasets.formats.types import Found, Item, Problem, image_paths, shown, text_of

LINES = "annotations.txt"


def read_mono(top: Path) -> Iterator[Found]:
    """The images of every line, with their depth."""
    yield from _read(top, images=1)


def read_stereo(top: Path) -> Iterator[Found]:
    """The left images of every line, with their right ones and the disparity."""
    yield from _read(top, images=2)


def _read(top: Path, images: int) -> Iterator[Found]:
    text = text_of(top, LINES)
    if isinstance(text, Problem):
        yield text
        return
    named: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        paths = [posixpath.normpath(word) for word in line.split()]
        if not paths:
            continue
        if not images <= len(paths) <= images + 1:
            what = f"the number of paths is {len(paths)}"
            yield Problem(LINES, number, what, f"{images} or {images + 1}, separated by a space")
            continue
        missing = [path for path in paths if path.startswith(("/", "../")) or not (top / path).is_file()]
        for path in missing:
            yield Problem(LINES, number, f"file {shown(path)} not found", "a path in the dataset")
        if paths[0] in named:
            yield Problem(LINES, number, f"{shown(paths[0])} is already used", "one line an image")
        elif not missing:
            yield Item(paths[0], LINES, further=paths[1:images])
        named.update(paths)
    for path in image_paths(top, "images"):
        if path not in named:
            yield Problem(path, 0, f"{LINES} does not name the image", "a line with its path")
