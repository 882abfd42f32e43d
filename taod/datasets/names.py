"""File names: their text in messages and JSON (on Linux a name is any bytes), and names of operating systems' files."""

from __future__ import annotations

import os

_JUNK = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})


def is_text(name: str) -> bool:
    """Whether a file name from the operating system is UTF-8."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    """The name with unprintable characters escaped."""
    return name if name.isprintable() else ascii(name)[1:-1]


def raw(name: str) -> str:
    """A name that is not UTF-8, quoted, with its bytes escaped."""
    return ascii(os.fsencode(name))[1:]


def is_junk(name: str) -> bool:
    """Whether a path component belongs to an operating system: `__MACOSX`, `.DS_Store`, `._*`, `Thumbs.db`."""
    return name in _JUNK or name.startswith("._")
