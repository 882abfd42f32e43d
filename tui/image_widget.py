"""Images drawn with half blocks, two pixels a cell: works in every terminal, without a capability query."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.color import Color
from rich.color_triplet import ColorTriplet
from rich.style import Style
from rich.text import Text
from textual.geometry import Size
from textual.widget import Widget

if TYPE_CHECKING:
    from PIL.Image import Image

UPPER = "▀"
MOST_LINES = 60


def decode_image(data: bytes) -> Image:
    """Decode an image to RGB. Raises OSError if it is not an image (Pillow's UnidentifiedImageError) or too large."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return image.convert("RGB")
    except Image.DecompressionBombError as error:
        raise OSError(str(error)) from error


def fitted(size: tuple[int, int], width: int, most_lines: int) -> tuple[int, int]:
    """Columns and lines for an image of `size` pixels (width, height), keeping its aspect ratio, within `width` cells
    and `most_lines` lines. A cell is about twice as high as wide and holds one pixel above another."""
    columns = max(1, min(width, round(most_lines * 2 * size[0] / max(1, size[1]))))
    lines = max(1, min(most_lines, round(columns * size[1] / max(1, size[0]) / 2)))
    return columns, lines


def half_blocks(image: Image, columns: int, lines: int) -> Text:
    """Draw the image as text of `columns` x `lines` cells."""
    small = image.resize((columns, lines * 2))
    pixels = small.convert("RGB").tobytes()
    text = Text(no_wrap=True, end="")
    for line in range(lines):
        for column in range(columns):
            upper, lower = (_colour(pixels, 3 * ((line * 2 + half) * columns + column)) for half in (0, 1))
            text.append(UPPER, style=Style(color=upper, bgcolor=lower))
        if line < lines - 1:
            text.append("\n")
    return text


def _colour(pixels: bytes, at: int) -> Color:
    return Color.from_triplet(ColorTriplet(*pixels[at : at + 3]))


class ImageWidget(Widget):
    """Fills its container's width, keeping the image's aspect ratio."""

    def __init__(self, image: Image, *, most_lines: int = MOST_LINES, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._image, self._most_lines = image, most_lines
        self._drawn: tuple[int, Text] | None = None

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return fitted(self._image.size, max(1, width), self._most_lines)[1]

    def render(self) -> Text:
        width = max(1, self.size.width)
        if self._drawn is None or self._drawn[0] != width:
            self._drawn = (width, half_blocks(self._image, *fitted(self._image.size, width, self._most_lines)))
        return self._drawn[1]
