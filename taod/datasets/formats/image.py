"""Inspects one image with Pillow: its size from the header, or the whole image. Pillow's results are checked."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from taod import plain_file
from taod.datasets.formats.types import Problem

MOST_PIXELS = 400_000_000
"""A larger image is not decoded."""
MOST_WORDS = 300
"""Characters of Pillow's message that are kept."""


_STREAM = re.compile(r"<_io\.BufferedReader name=('.*')>", re.DOTALL)
"""The name of an already open file in Pillow's messages."""


def measure(top: Path, path: str, *, deep: bool = False) -> tuple[int, int] | Problem:
    """Width and height in pixels, or the problem of an unreadable image. `deep` decodes the whole image."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about large images, which are reported below
            with plain_file.binary(top / path) as file, Image.open(file) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    return Problem(path, 0, f"the image has {width} x {height} pixels", f"{MOST_PIXELS} at most")
                if deep:
                    image.load()
                return width, height
    except Exception as error:  # a damaged image fails in as many ways as there are formats
        return Problem(path, 0, f"the image cannot be read: {describe_error(top, path, error)}", "a whole image")


def describe_error(top: Path, path: str, error: Exception) -> str:
    """Why Pillow failed, in one line, with the path below the top and nothing above it."""
    try:
        if not (top / path).stat().st_size:
            return "it has 0 bytes"
    except OSError:
        pass
    reason = _STREAM.sub(r"\1", str(error)).replace(f"{top}/", "").strip()
    return reason.splitlines()[0][:MOST_WORDS] if reason else type(error).__name__
