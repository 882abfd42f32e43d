"""Readers of body keypoints (bpnet: COCO keypoints) and of points on faces (fpenet: its own JSON)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from taod import plain_file
from taod.datasets.formats import coco
from taod.datasets.formats.types import Box, Found, Item, Label, Problem, image_paths, shown, unreadable


def read_bodies(top: Path) -> Iterator[Found]:
    """The items of bpnet's train2017 and val2017."""
    for split in ("train2017", "val2017"):
        yield from coco.read(top, f"annotations/person_keypoints_{split}.json", split, keypoints=True)


def read_faces(top: Path) -> Iterator[Found]:
    """The items of fpenet: each entry of afw.json with its image, found by its file name alone."""
    for folder in ("data/afw", "data/afw_10"):
        file = f"{folder}/{folder.rpartition('/')[2]}.json"
        if not (top / file).is_file():
            continue
        try:
            data = plain_file.read(top / file, coco.MOST_BYTES)
            entries = msgspec.json.decode(data)
        except OSError as error:
            yield unreadable(file, error)
            continue
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            line = coco.line_of(data, file, str(error))
            yield Problem(file, line, f"this is not JSON: {error}", "a list of images with their annotations")
            continue
        if not isinstance(entries, list):
            yield Problem(file, 0, f"the document is a {type(entries).__name__}", "a list of images")
            continue
        there = {path.rpartition("/")[2]: path for path in image_paths(top, folder)}
        lines = coco.Lines(data, file)
        for index, entry in enumerate(entries):
            yield from _face(entry, index, file, lines.line_of("", index), there)


def _face(entry: Any, index: int, file: str, line: int, there: dict[str, str]) -> Iterator[Found]:
    if not isinstance(entry, dict) or not isinstance(entry.get("filename"), str):
        yield Problem(file, line, f"[{index}] is {shown(entry)}", "filename, and annotations")
        return
    name = entry["filename"]
    path = there.get(name.replace("\\", "/").rpartition("/")[2], "")
    if not path:
        yield Problem(file, line, f"[{index}]: image {shown(name)} not found", "an image of this name beside the list")
    marks = entry.get("annotations")
    if not isinstance(marks, list) or not all(isinstance(mark, dict) for mark in marks):
        yield Problem(file, line, f"[{index}].annotations is {shown(marks)}", "a list of objects")
        marks = []
    labels = []
    for mark in marks:
        box = _rectangle(mark)
        if mark.get("class") == "FaceBbox" and box is None:
            yield Problem(file, line, f"[{index}]: the face's box is {shown(mark)}", "x, y, width and height")
        elif mark.get("class") == "FiducialPoints" and not any(str(key).startswith("P1") for key in mark):
            yield Problem(file, line, f"[{index}]: there are no points", "P1x, P1y, P2x, …")
        if box is not None:
            labels.append(Label("face", box, line))
    yield Item(path, file, labels)


def _rectangle(mark: dict[str, Any]) -> Box | None:
    for key, value in mark.items():
        if "bbox" in str(key) and isinstance(value, dict):
            sides = [value.get(name) for name in ("x", "y", "width", "height")]
            if all(isinstance(side, int | float) and not isinstance(side, bool) for side in sides):
                left, top, width, height = (float(side) for side in sides if side is not None)
                return Box(left, top, left + width, top + height)
    return None
