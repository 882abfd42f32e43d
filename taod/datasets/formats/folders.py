"""Readers of layouts whose labels are folder and file names: class folders, videos as frames, persons, images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from taod.datasets.formats.types import Found, Item, Label, Problem, image_paths
from taod.datasets.names import is_junk
from taod.datasets.validation.layouts import RETAIL

STREAMS = frozenset({"rgb", "u", "v"})
_PERSON = re.compile(r"(-?\d+)_c\d+")


def read_bare(top: Path, folder: str = "images") -> Iterator[Found]:
    """Images without labels."""
    for path in image_paths(top, folder):
        yield Item(path)


def read_image(top: Path) -> Iterator[Found]:
    """Images without labels of a text recognition dataset."""
    return read_bare(top, "image")


def read_products(top: Path) -> Iterator[Found]:
    """The items of ml_recog: <part>/<class>/<image>."""
    for known in ("known_classes", "unknown_classes"):
        for part in ("train", "val", "reference", "test"):
            folder = f"{RETAIL}/{known}/{part}"
            for path in image_paths(top, folder):
                name, inside, _ = path.removeprefix(f"{folder}/").partition("/")
                if not inside:
                    yield Problem(path, 0, "the image lies in no class folder", f"{part}/<class>/<image>")
                yield Item(path, labels=[Label(name)] if inside else [])


def read_videos(top: Path) -> Iterator[Found]:
    """The items of action_recognition, one a video: <split>/<class>/<video>/{rgb,u,v}/, each with the same frames."""
    for split in ("train", "test"):
        for action in _folders(top, split):
            for video in _folders(top, f"{split}/{action}"):
                yield from _video(top, f"{split}/{action}/{video}", action)


def _video(top: Path, place: str, action: str) -> Iterator[Found]:
    streams = [name for name in _folders(top, place) if name in STREAMS]
    if not streams:
        yield Problem(place, 0, "the video has no frames", "folders rgb/, or u/ and v/, of frames")
        return
    frames = {name: list(image_paths(top, f"{place}/{name}")) for name in streams}
    counts = {name: len(found) for name, found in frames.items()}
    for name, count in counts.items():
        if not count:
            yield Problem(f"{place}/{name}", 0, "the folder has no frames", "an image a frame")
    if len({counts[name] for name in ("u", "v") if name in counts}) > 1:
        yield Problem(place, 0, f"u/ has {counts['u']} frames, v/ has {counts['v']}", "as many in both")
    first, *further = [path for found in frames.values() for path in found] or [""]
    yield Item(first, labels=[Label(action)], further=further)


def read_persons(top: Path) -> Iterator[Found]:
    """The items of re_identification: the person's number begins an image's name, as in 0002_c1s1_000451_03.jpg."""
    for folder in ("sample_train", "sample_test", "sample_query"):
        for path in image_paths(top, folder):
            match = _PERSON.match(path.rpartition("/")[2])
            if match is None:
                yield Problem(path, 0, "the name has no person and camera", "<person>_c<camera>….jpg")
            yield Item(path, labels=[Label(match[1])] if match else [])


def _folders(top: Path, place: str) -> list[str]:
    try:
        with os.scandir(top / place) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not is_junk(entry.name))
    except OSError:
        return []
