"""Free space of the root's disk, checked before bytes are read and again while they are written."""

from __future__ import annotations

import os
from pathlib import Path

from taod.errors import NoSpace


class DiskQuota:
    """The disk of one folder; `keep_free` bytes of it stay free for the store and other programs."""

    def __init__(self, folder: Path, keep_free: int = 0) -> None:
        self._folder = folder
        self._keep_free = keep_free

    def check(self, wanted: int = 0, what: str = "the upload") -> None:
        """Raise NoSpace if `wanted` more bytes do not fit."""
        status = os.statvfs(self._folder)
        free = status.f_bavail * status.f_frsize
        if free - wanted >= self._keep_free:
            return
        asked = f"{what} needs {wanted} bytes, and " if wanted else ""
        kept = f", of which storage.keep_free_bytes keeps {self._keep_free}" if self._keep_free else ""
        raise NoSpace(
            f"the disk is full: {asked}the disk of {self._folder.parent} has {free} bytes free{kept}; "
            "make room and send it again, or link a folder of this machine instead"
        )
