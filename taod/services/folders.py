"""Removes folders of deleted resources; runs in a thread, never touches the store."""

from __future__ import annotations

import shutil
from pathlib import Path


def remove_folder(folder: Path) -> None:
    """Remove a folder with its contents, if it exists. Links are removed, never followed."""
    if folder.is_symlink():
        folder.unlink()
        return
    shutil.rmtree(folder, ignore_errors=True)
