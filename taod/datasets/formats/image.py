"""Looking into one image: its size from the header, or all of it. Pillow reads, and nothing that it says is believed
before it was checked."""

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
"""How Pillow calls a file that it did not open itself."""


def measure(top: Path, path: str, *, deep: bool = False) -> tuple[int, int] | Problem:
    """Width and height in pixels; `deep` decodes the whole image. An image that cannot be read is a problem."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images: they are reported below
            with plain_file.binary(top / path) as file, Image.open(file) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    return Problem(path, 0, f"the image has {width} x {height} pixels", f"{MOST_PIXELS} at most")
                if deep:
                    image.load()
                return width, height
    except Exception as error:  # a damaged image fails in as many ways as there are formats
        return Problem(path, 0, f"the image cannot be read: {why(top, path, error)}", "a whole image")


def why(top: Path, path: str, error: Exception) -> str:
    """Why Pillow failed, in one line, with the path below the top and nothing above it."""
    try:
        if not (top / path).stat().st_size:
            return "it has 0 bytes"
    except OSError:
        pass
    reason = _STREAM.sub(r"\1", str(error)).replace(f"{top}/", "").strip()
    return reason.splitlines()[0][:MOST_WORDS] if reason else type(error).__name__
