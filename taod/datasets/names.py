"""Names of files: in messages and answers (Linux takes any bytes, JSON only text), and those that are no data."""

from __future__ import annotations

import os

_JUNK = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})


def is_text(name: str) -> bool:
    """Whether a name that the system gave is UTF-8."""
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
    """A name that is not UTF-8, quoted, by its bytes."""
    return ascii(os.fsencode(name))[1:]


def is_junk(name: str) -> bool:
    """Whether a path component is left by an operating system: `__MACOSX`, `.DS_Store`, `._*`, `Thumbs.db`."""
    return name in _JUNK or name.startswith("._")
