"""Reader of ODVG: a line of JSON for each image with its boxes, and a map from label numbers to names.

A line has either `detection` (boxes with numbers of the label map) or `grounding` (a caption, and boxes with phrases
from it). Boxes are edges in pixels: left, top, right, bottom. `file_name`, as NVIDIA's tools of 7.3 read it, is a path
below images/.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

import msgspec

from taod.datasets.formats.types import Box, Found, Item, Label, Problem, image_paths, shown, text_of

LINES = "annotations_odvg.jsonl"
LABEL_MAP = "annotations_odvg_labelmap.json"
_FIELDS = "file_name, height, width, and detection.instances or grounding.regions"


class _Instance(msgspec.Struct, gc=False):
    bbox: tuple[float, float, float, float]
    label: int
    category: str | None = None


class _Region(msgspec.Struct, gc=False):
    bbox: list[float | list[float]]
    """One box, or several boxes of the same phrase."""
    phrase: str


class _Detection(msgspec.Struct):
    instances: list[_Instance]


class _Grounding(msgspec.Struct):
    caption: str
    regions: list[_Region]


class _Line(msgspec.Struct):
    file_name: str
    height: int
    width: int
    detection: _Detection | None = None
    grounding: _Grounding | None = None


def read(top: Path) -> Iterator[Found]:
    """The images named by the lines; every other image is a problem."""
    names: dict[str, str] = {}
    for found in _label_map(top):
        if isinstance(found, Problem):
            yield found
        else:
            names[found[0]] = found[1]
    text = text_of(top, LINES)
    if isinstance(text, Problem):
        yield text
        return
    images = set(image_paths(top, "images"))
    named: set[str] = set()
    for number, raw in enumerate(text.splitlines(), 1):
        if not raw.strip():
            continue
        try:
            line = msgspec.json.decode(raw, type=_Line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            yield Problem(LINES, number, str(error), f"an object with {_FIELDS}")
            continue
        path = posixpath.normpath(f"images/{line.file_name}")
        if path not in images:
            yield Problem(LINES, number, f"image {shown(line.file_name)} not found", "a path below images/")
            continue
        if path in named:
            yield Problem(LINES, number, f"{shown(line.file_name)} is already used", "one line an image")
        named.add(path)
        yield from _item(path, number, line, names)
    for path in sorted(images - named):
        yield Problem(path, 0, f"{LINES} does not name the image", "a line with its name")


def _item(path: str, number: int, line: _Line, names: dict[str, str]) -> Iterator[Found]:
    labels = []
    if line.detection is None and line.grounding is None:
        yield Problem(LINES, number, "the line has neither detection nor grounding", f"an object with {_FIELDS}")
    for each in line.detection.instances if line.detection is not None else []:
        name = names.get(str(each.label))
        if name is None and names:
            yield Problem(LINES, number, f"label {each.label} is not in {LABEL_MAP}", "a number that it has")
        elif name is not None and each.category is not None and each.category != name:
            what = f"label {each.label} is {shown(name)} in {LABEL_MAP}, and category is {shown(each.category)}"
            yield Problem(LINES, number, what, "the name that the map has")
        labels.append(Label(name or each.category or str(each.label), Box(*each.bbox), number))
    for region in line.grounding.regions if line.grounding is not None else []:
        if line.grounding is not None and region.phrase.lower() not in line.grounding.caption.lower():
            yield Problem(LINES, number, f"the caption lacks the phrase {shown(region.phrase)}", "words of the caption")
        boxes = [each for each in region.bbox if isinstance(each, list)]
        edges = [each for each in region.bbox if isinstance(each, float)]
        for box in [edges, *boxes] if edges else boxes:
            if len(box) == len(Box._fields):
                labels.append(Label(region.phrase, Box(*box), number))
            else:
                yield Problem(LINES, number, f"a box of {shown(region.phrase)} has {len(box)} numbers", "4 numbers")
    yield Item(path, LINES, labels, (line.width, line.height))


def _label_map(top: Path) -> Iterator[tuple[str, str] | Problem]:
    text = text_of(top, LABEL_MAP)
    if isinstance(text, Problem):
        yield text
        return
    try:
        found = msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.MsgspecError, RecursionError) as error:
        yield Problem(LABEL_MAP, 0, str(error), 'an object of names by number: {"0": "car"}')
        return
    seen: dict[str, str] = {}
    for number, name in found.items():
        if not number.isdecimal():
            yield Problem(LABEL_MAP, 0, f"the key {shown(number)} is not a number", "whole numbers from 0")
        elif name in seen:
            yield Problem(LABEL_MAP, 0, f"{shown(name)} is both {seen[name]} and {number}", "each name once")
        seen[name] = number
        yield number, name
    if missing := next((str(n) for n in range(len(found)) if str(n) not in found), None):
        yield Problem(LABEL_MAP, 0, f"{missing} is missing", "numbers from 0 without a gap")
