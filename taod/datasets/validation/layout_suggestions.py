"""Suggestions for a missing path of a layout: a file in a folder's place, another case, another folder.

Uses names only, and no type or format.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

from taod.datasets.names import is_junk, printable

ALIKE = 0.8
"""difflib ratio from which a name counts as a misspelling of another."""
MOST_NAMES = 1000
"""Most names of one folder that are compared."""


def hint(top: Path, path: str, wanted: Collection[str]) -> str:
    """A likely reason why `path` (a folder's ends in `/`) is missing below `top`; empty if none is found.

    `wanted`: all paths of the layout; a name in one of them is not a misspelling of another. Raises OSError.
    """
    expects_folder = path.endswith("/")
    parts = path.rstrip("/").split("/")
    for depth, name in enumerate(parts):
        above = "/".join(parts[:depth])
        place = top / above / name
        is_last = depth == len(parts) - 1
        if not place.exists():
            return _alike(top, above, name, not is_last or expects_folder, wanted) or _at_another_depth(
                top, path, wanted
            )
        if not is_last and not place.is_dir():
            return f"{'/'.join(parts[: depth + 1])} is a file, not a folder"
    return f"{path.rstrip('/')} is a {'file, not a folder' if expects_folder else 'folder, not a file'}"


def _alike(top: Path, above: str, name: str, is_folder: bool, wanted: Collection[str]) -> str:
    """A hint at an entry of `above` whose name differs from the wanted one in case or by a misspelling."""
    names = [found for found, folder in _entries(top / above) if folder == is_folder]
    end = "/" if is_folder else ""
    inside = f"{above}/" if above else ""
    for found in names:
        if found.casefold() == name.casefold():
            return f"there is {inside}{printable(found)}{end}, which differs in case"
    free = [found for found in names if not any(_leads_to(path, f"{inside}{found}") for path in wanted)]
    close = get_close_matches(name, free, n=1, cutoff=ALIKE)
    return f"there is {inside}{printable(close[0])}{end}" if close else ""


def _at_another_depth(top: Path, path: str, wanted: Collection[str]) -> str:
    """A hint at the same path one folder deeper, or at its last part at the top."""
    for found, folder in _entries(top):
        if folder and _is_there(top, f"{found}/{path}"):
            return f"there is {printable(found)}/{path}, a folder too deep"
    end = path
    while "/" in end.rstrip("/"):
        end = end.partition("/")[2]
        if end not in wanted and _is_there(top, end):
            return f"there is {end} at the top"
    return ""


def _leads_to(path: str, name: str) -> bool:
    return path.rstrip("/") == name or path.startswith(f"{name}/")


def _is_there(top: Path, path: str) -> bool:
    return (top / path).is_dir() if path.endswith("/") else (top / path).is_file()


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """Names in a folder, sorted, and whether each is a folder."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_junk(entry.name):
                found.append((entry.name, entry.is_dir()))
            if len(found) == MOST_NAMES:
                break
    return sorted(found)
