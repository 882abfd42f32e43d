"""Output on terminals and pipes that cannot encode everything: what has no place there is replaced, never raised."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from io import TextIOWrapper

NAME = "taod.likeness"
"""The error handler that all output of the command line uses."""

_LIKE = {
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


def likeness(character: str) -> str:
    """ASCII that reads like the character: its likeness, its letter without accents, or a question mark."""
    folded = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _LIKE.get(character) or folded or "?"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(likeness(each) for each in error.object[error.start : error.end]), error.end


def tolerate() -> None:
    """Let standard output and standard error take any text in the encoding that they have."""
    codecs.register_error(NAME, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=NAME)
