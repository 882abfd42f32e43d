"""Output on terminals and pipes with a limited encoding: replace characters that it lacks instead of raising."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from io import TextIOWrapper

NAME = "taod.ascii"
"""Name of the codec error handler of the command line's output."""

_ASCII = {
    **dict.fromkeys("─━╌╍┄┅═╴╶╺╸", "-"),
    **dict.fromkeys("│┃║", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╔╗╚╝", "+"),
    **dict.fromkeys("●•", "*"),
    "·": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "×": "x",
    "≥": ">=",
    "≤": "<=",
    "→": "->",
    "←": "<-",
    "█": "#",
    "✓": "+",
    "✗": "x",
    "°": " deg",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
}


def ascii_for(character: str) -> str:
    """An ASCII substitute: from the table, the letter without accents, or a question mark."""
    folded = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _ASCII.get(character) or folded or "?"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(ascii_for(each) for each in error.object[error.start : error.end]), error.end


def tolerate() -> None:
    """Make standard output and standard error accept any text, whatever their encoding."""
    codecs.register_error(NAME, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=NAME)
