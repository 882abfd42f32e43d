"""Reader of ocdnet's ground truth: one text file an image, one quadrilateral with its text a line.

Source: Karatzas et al., ICDAR 2015 Competition on Robust Reading, challenge 4: x1,y1,…,x4,y4,text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from taod.datasets.formats.types import (
    Box,
    Found,
    Item,
    Label,
    Problem,
    by_stem,
    files,
    number,
    shown,
    stem,
    text_of,
    unpaired,
)

IGNORED = "###"
"""Text that cannot be read."""
_TEXT = frozenset({".txt"})
_WHOLE = "x1,y1,x2,y2,x3,y3,x4,y4,text"


def parse(text: str, file: str) -> tuple[list[Label], list[Problem]]:
    """The quadrilaterals of one file's text, each as a label with its bounding box, and problems."""
    labels: list[Label] = []
    problems: list[Problem] = []
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        words = content.strip().split(",", 8)
        if len(words) < 9:
            problems.append(Problem(file, line, f"the line has {len(words)} fields", _WHOLE))
            continue
        corners = [number(word) for word in words[:8]]
        wrong = next((at for at, corner in enumerate(corners) if corner is None), None)
        if wrong is not None:
            problems.append(Problem(file, line, f"coordinate {wrong + 1} is {shown(words[wrong])}", "a finite number"))
            continue
        x = [corner for corner in corners[0::2] if corner is not None]
        y = [corner for corner in corners[1::2] if corner is not None]
        name = "ignored" if words[8].strip() == IGNORED else "text"
        labels.append(Label(name, Box(min(x), min(y), max(x), max(y)), line))
    return labels, problems


def read(top: Path) -> Iterator[Found]:
    """The items of <split>/img with <split>/gt; a label file has its image's name, with or without a leading `gt_`."""
    for split in ("train", "test"):
        images, labels = f"{split}/img", f"{split}/gt"
        if not (top / images).is_dir() or not (top / labels).is_dir():
            continue
        left, twice = by_stem(top, images)
        yield from twice
        for file in files(top, labels, _TEXT):
            key = stem(file, labels)
            key = key if key in left else key.removeprefix("gt_")
            image = left.pop(key, "")
            if not image:
                yield Problem(file, 0, "image not found", f"{images}/{key}.jpg or .png")
            text = text_of(top, file)
            if isinstance(text, Problem):
                yield text
                continue
            found, problems = parse(text, file)
            yield from problems
            yield Item(image, file, found)
        yield from unpaired(left, labels, ".txt")
