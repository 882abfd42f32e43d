"""A view of a linked folder that conversions may write to: a folder in the root with symbolic links to its files.

A linked folder is never changed. Folders that a conversion writes to are real folders in the view; everything else is
a symbolic link into the linked folder. So the tools read one dataset, and their output stays in the view.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath


def refresh(view: Path, linked: Path, outputs: Iterable[str]) -> None:
    """Create or update the view: link new files of the linked folder, delete broken links.

    `outputs`: patterns of files that conversions write. Matching files of the linked folder are not linked, since a
    tool that rewrites them would write through the link.
    """
    patterns = list(outputs)
    real = {""} | {_text(parent) for pattern in patterns for parent in PurePosixPath(pattern).parents}
    for folder in sorted(real):
        if not (linked / folder).is_dir():
            continue
        (view / folder).mkdir(parents=True, exist_ok=True)
        for entry in os.scandir(view / folder):
            if entry.is_symlink() and not Path(entry.path).exists():
                Path(entry.path).unlink(missing_ok=True)
        for entry in os.scandir(linked / folder):
            name = f"{folder}/{entry.name}" if folder else entry.name
            target = view / name
            if name not in real and not any(fnmatch(name, pattern) for pattern in patterns) and not target.exists():
                with suppress(FileExistsError):  # another job's refresh was faster
                    target.symlink_to(entry.path)


def _text(path: PurePosixPath) -> str:
    return "" if path == PurePosixPath(".") else str(path)
