"""Makes texts of users, runs and files safe for a terminal: the one place for the command line and the dashboard.

A terminal obeys control characters: they move the cursor, write to the clipboard, or reverse what is read.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
from typing import TextIO

_COLOUR = r"\x1b\[[0-9;:]{0,64}m"
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_LAYOUT = "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb"
"""Line separators, and what changes the direction of a text."""
_UNSAFE = re.compile(f"[{_CONTROL}{_LAYOUT}]")
_UNSAFE_IN_LINE = re.compile(f"[\t\n{_CONTROL}{_LAYOUT}]")
_COLOUR_OR_UNSAFE = re.compile(f"({_COLOUR})|[{_CONTROL}{_LAYOUT}]")
_OPEN_END = re.compile(r"\x1b(?:\[[0-9;:]{0,64})?$|\r$")
_NAMES = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def in_line(text: str) -> str:
    """The text in one line: every control character is written as an escape, `\\x1b`."""
    return text if text.isprintable() else _UNSAFE_IN_LINE.sub(_shown, text)


def in_lines(text: str) -> str:
    """The text with its lines and tabs; every other control character is written as an escape."""
    return _UNSAFE.sub(_shown, text)


def coloured(text: str) -> str:
    """As `in_lines`, and colours stay."""
    return _COLOUR_OR_UNSAFE.sub(lambda match: match[1] or _shown(match), text)


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    return _NAMES.get(match[0]) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


class LogText:
    """A log in parts of any length as text for a terminal: colours stay, a carriage return starts a new line."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, part: bytes, *, final: bool = False) -> str:
        text = self._rest + self._decoder.decode(part, final)
        open_end = None if final else _OPEN_END.search(text)
        self._rest = "" if open_end is None else text[open_end.start() :]
        text = text if open_end is None else text[: open_end.start()]
        return coloured(text.replace("\r\n", "\n").replace("\r", "\n"))


class SafeStream(io.TextIOWrapper):
    """A terminal's stream that passes colours and no other control character."""

    def write(self, text: str) -> int:
        super().write(coloured(text))
        return len(text)


def protect_output() -> None:
    """Let standard output and standard error pass only text and colours to a terminal."""
    for name in ("stdout", "stderr"):
        stream: TextIO = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, SafeStream) and stream.isatty():
            stream.flush()
            options = {"encoding": stream.encoding, "errors": stream.errors}
            setattr(sys, name, SafeStream(stream.buffer, **options, line_buffering=True, write_through=True))


def unguarded(stream: TextIO) -> TextIO:
    """The stream for a writer that makes its own texts safe and moves the cursor, such as a progress bar."""
    plain = sys.__stderr__ if stream is sys.stderr else sys.__stdout__
    return plain if isinstance(stream, SafeStream) and plain is not None else stream
