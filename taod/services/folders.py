"""Removing folders of deleted things; runs in a thread, never touches the store."""

from __future__ import annotations

import shutil
from pathlib import Path


def remove_folder(folder: Path) -> None:
    """Remove a folder with all in it; what is not there is fine. Links are removed, never followed."""
    if folder.is_symlink():
        folder.unlink()
        return
    shutil.rmtree(folder, ignore_errors=True)
