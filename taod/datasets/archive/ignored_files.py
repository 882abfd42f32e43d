"""What operating systems leave in folders and archives and nobody means as data."""

from __future__ import annotations

_NAMES = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})


def is_junk(name: str) -> bool:
    """Whether one path component is such a leftover: `__MACOSX`, `.DS_Store`, `._*` and their Windows kin."""
    return name in _NAMES or name.startswith("._")
