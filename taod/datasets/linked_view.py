"""A view of a linked folder that conversions may write to: a folder of taod's own whose names lead to the linked files.

A linked folder is never changed. Folders that a conversion writes in are real folders in the view, everything else in
them is a symbolic link to the linked folder; so the tools read one dataset, and what they write stays in the view.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath


def refresh(view: Path, linked: Path, outputs: Iterable[str]) -> None:
    """Create the view or bring it up to date: link what is new in the linked folder, delete broken links.

    `outputs` are patterns of what conversions write; files of the linked folder that match them are not linked, since
    a tool that rewrites them would write through the link.
    """
    patterns = list(outputs)
    real = {""} | {_text(parent) for pattern in patterns for parent in PurePosixPath(pattern).parents}
    for folder in sorted(real):
        if not (linked / folder).is_dir():
            continue
        (view / folder).mkdir(parents=True, exist_ok=True)
        for entry in os.scandir(view / folder):
            if entry.is_symlink() and not Path(entry.path).exists():
                Path(entry.path).unlink()
        for entry in os.scandir(linked / folder):
            name = f"{folder}/{entry.name}" if folder else entry.name
            target = view / name
            if name not in real and not any(fnmatch(name, pattern) for pattern in patterns) and not target.exists():
                target.symlink_to(entry.path)


def _text(path: PurePosixPath) -> str:
    return "" if path == PurePosixPath(".") else str(path)
