"""Filters on drawn segments: visible control characters, colours of the light theme, and ASCII characters.

Widgets draw with the constants of `tui.theme` in both themes; these filters replace the colours afterwards.
"""

from __future__ import annotations

import re
from functools import lru_cache

from rich.cells import cell_len
from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

from taod.terminal import in_line
from tui.theme import LIGHT_COLOURS

_SPARE = re.compile(" +(?= )")
"""Spaces of a gap, without its last one."""


class VisibleControls(LineFilter):
    """Writes control characters as escapes, as the command line does: a terminal would execute them.

    The layout took them for characters without width. What an escape needs is taken from the spaces that follow it, so
    that columns stay where they are, and else from the end of the line.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        if all(text.isprintable() for text, *_ in segments):
            return segments
        line, extra = list[Segment](), 0

        def narrowed(spaces: re.Match[str]) -> str:
            nonlocal extra
            taken = min(extra, len(spaces[0]))
            extra -= taken
            return spaces[0][taken:]

        for text, style, control in segments:
            shown = in_line(text.replace("\n", ""))
            extra += cell_len(shown) - cell_len(text)
            line.append(Segment(_SPARE.sub(narrowed, shown), style, control))
        return Segment.adjust_line_length(line, Segment.get_line_length(segments), pad=False)


class LightInk(LineFilter):
    """Replaces the dark theme's colours by the light theme's."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(text, _light(style) if style else style, control) for text, style, control in segments]


class AsciiSigns(LineFilter):
    """Replaces every character by one ASCII character of the same width."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [segment if segment.text.isascii() else _ascii(segment) for segment in segments]


@lru_cache(4096)
def _light(style: Style) -> Style:
    ink, ground = _swapped(style.color), _swapped(style.bgcolor)
    if ink is style.color and ground is style.bgcolor:
        return style
    return style + Style.from_color(ink, ground)


def _swapped(colour: RichColor | None) -> RichColor | None:
    if colour is None or colour.triplet is None:
        return colour
    light = LIGHT_COLOURS.get(colour.triplet.hex)
    return colour if light is None else RichColor.parse(light)


_LINES = {
    **dict.fromkeys("─━╌╍┄┅═╴╶╺╸▔━", "-"),
    **dict.fromkeys("│┃║▏▎▕▐▌", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╔╗╚╝", "+"),
    **dict.fromkeys("▀█▇▊▋▉", "#"),
    **dict(zip("▁▂▃▄▅▆", "_.-=+*", strict=True)),
    **dict.fromkeys("░▒▓", ":"),
}
_SIGNS = {
    "●": "*", "○": "o", "◌": ".", "◇": "=", "◔": "c", "◑": "c", "◐": "c", "‖": "\"", "✓": "+", "✗": "x", "⊘": "/",
    "·": "-", "…": "~", "–": "-", "→": ">", "←": "<", "↑": "^", "↓": "v", "▲": "^", "▼": "v", "▶": ">", "▸": ">",
    "°": " ", "×": "x", "≥": ">", "≤": "<", "⏵": ">", "•": "*", "⏎": "<", "✎": "*", "⌂": "~",
}  # fmt: skip


class _Signs(dict[int, str]):
    """ASCII replacement by code point; characters without one become one question mark a cell."""

    def __missing__(self, code: int) -> str:
        self[code] = chr(code) if code < 128 else "?" * cell_len(chr(code))
        return self[code]


_TABLE = _Signs({ord(sign): plain for sign, plain in {**_LINES, **_SIGNS}.items()})
_TABLE.update(dict.fromkeys(range(0x2801, 0x2900), "."))
_TABLE[0x2800] = " "


def _ascii(segment: Segment) -> Segment:
    return Segment(segment.text.translate(_TABLE), segment.style, segment.control)
