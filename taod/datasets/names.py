"""Names of files as they may stand in messages and answers: Linux takes any bytes, JSON only text."""

from __future__ import annotations

import os


def is_text(name: str) -> bool:
    """Whether a name that the system gave is UTF-8."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def told(name: str) -> str:
    """A name in words: what cannot be printed is escaped."""
    return name if name.isprintable() else ascii(name)[1:-1]


def raw(name: str) -> str:
    """A name that is not UTF-8, quoted, by its bytes."""
    return ascii(os.fsencode(name))[1:]
