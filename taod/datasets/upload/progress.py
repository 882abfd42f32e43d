"""Progress of an upload, reported at most ten times a second, and immediately when a stage begins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum

import msgspec

from taod.datasets.archive.tree_writer import PROGRESS_S
from taod.types.dataset import UploadProgress


class Stage(StrEnum):
    """Stage of an upload."""

    RECEIVING = "receiving"
    """Receiving; if the format allows, also unpacking."""
    UNPACKING = "unpacking"
    """Unpacking the rest after all bytes were received."""
    CHECKING = "checking"
    WAITING = "waiting"
    """Waiting for the next part."""
    DONE = "done"
    FAILED = "failed"


OnProgress = Callable[[UploadProgress], None]


class ProgressReporter:
    """Updates `now` and reports copies of it, always including the last of a burst. For the event loop's thread."""

    def __init__(self, now: UploadProgress, on_progress: OnProgress | None, loop: asyncio.AbstractEventLoop) -> None:
        self._now = now
        self._on_progress = on_progress
        self._loop = loop
        self._later: asyncio.TimerHandle | None = None
        self._reported_stage = ""
        self._reported_at = 0.0
        self._earlier = 0

    def resumed_at(self, size: int) -> None:
        """Set the bytes received by earlier parts."""
        self._earlier = self._now.received = size

    def received(self, size: int) -> None:
        """Set the bytes received of this body."""
        self._now.received = self._earlier + size
        self._report()

    def unpacked(self, files: int, size: int) -> None:
        """Set the number and total size of the written files."""
        self._now.files, self._now.unpacked = files, size
        self._report()

    def stage(self, stage: Stage) -> None:
        """Begin a stage."""
        self._now.stage = stage
        self._report()

    def close(self) -> None:
        """Stop reporting."""
        self._on_progress = None
        if self._later is not None:
            self._later.cancel()

    def _report(self) -> None:
        wait_s = self._reported_at + PROGRESS_S - self._loop.time()
        if self._now.stage == self._reported_stage and wait_s > 0:
            if self._later is None and self._on_progress is not None:
                self._later = self._loop.call_later(wait_s, self._report_now)
            return
        self._report_now()

    def _report_now(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._on_progress is not None:
            self._reported_stage, self._reported_at = self._now.stage, self._loop.time()
            self._on_progress(msgspec.structs.replace(self._now))
