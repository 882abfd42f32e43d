"""Reader of KITTI labels: one text file an image, one object a line, 15 fields each (a 16th is a score).

Source: Geiger et al., Are we ready for autonomous driving? (CVPR 2012), the object development kit's readme.
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

FIELDS = (
    "class", "truncated", "occluded", "alpha", "left", "top", "right", "bottom",
    "height", "width", "length", "x", "y", "z", "rotation",
)  # fmt: skip
IGNORED = "dontcare"
"""KITTI's name for regions to ignore."""
_TEXT = frozenset({".txt"})
_WHOLE = f"{len(FIELDS)} fields: {' '.join(FIELDS)}"


def parse(text: str, file: str) -> tuple[list[Label], list[Problem]]:
    """The objects of one file's text, and problems; an invalid line is left out."""
    labels: list[Label] = []
    problems: list[Problem] = []
    for line, content in enumerate(text.split("\n"), 1):
        words = content.split()
        if not words:
            continue
        if len(words) not in (15, 16):
            problems.append(Problem(file, line, f"the line has {len(words)} fields", _WHOLE))
            continue
        try:
            # Almost every line is valid: one conversion for all fields; only after a failure each field is checked.
            left, top, right, bottom = map(float, words[4:8])
            total = left + top + right + bottom + sum(map(float, words[1:4])) + sum(map(float, words[8:]))
            finite = total - total == 0
        except ValueError:
            finite = False
        if not finite:
            at = next((at for at, word in enumerate(words[1:], 1) if number(word) is None), 0)
            name = FIELDS[at] if at < len(FIELDS) else "score"
            problems.append(Problem(file, line, f"{name} is {shown(words[at])}", "a finite number"))
            continue
        labels.append(Label(words[0], Box(left, top, right, bottom), line))
    return labels, problems


def is_object(label: Label) -> bool:
    """Whether the label is an object, not an ignored region."""
    return label.name.lower() != IGNORED


def read(top: Path, images: str = "images", labels: str = "labels") -> Iterator[Found]:
    """The items of a dataset: each label file with its image of the same name."""
    left, twice = by_stem(top, images)
    yield from twice
    for file in files(top, labels, _TEXT):
        key = stem(file, labels)
        image = left.pop(key, "")
        text = text_of(top, file)
        if isinstance(text, Problem):
            yield text
            continue
        found, problems = parse(text, file)
        yield from problems
        if not image:
            yield Problem(file, 0, "image not found", f"{images}/{key}.png, .jpg or another image")
        yield Item(image, file, found)
    yield from unpaired(left, labels, ".txt")
