"""Writes status.json: one JSON object a line, in the form that the TAO tools write."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec


class StatusWriter:
    """Appends status lines to `path`, each with one write, so that a reader sees at most the last one half.

    Lines of earlier attempts stay. Numbers that are not finite become null.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = datetime.now) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._now = now
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # an earlier attempt died within a line: begin a new one

    def close(self) -> None:
        os.close(self._file)

    def started(self, message: str) -> None:
        self._write("STARTED", message)

    def running(self, message: str, **fields: Any) -> None:
        """A RUNNING line; `fields` are keys of the reference form (epoch, max_epoch, eta, kpi, graphical, …)."""
        self._write("RUNNING", message, **fields)

    def success(self, message: str) -> None:
        self._write("SUCCESS", message)

    def failure(self, message: str) -> None:
        self._write("FAILURE", message, verbosity="ERROR")

    def _write(self, status: str, message: str, *, verbosity: str = "INFO", **fields: Any) -> None:
        now = self._now()
        line = {
            **fields,
            "date": f"{now.month}/{now.day}/{now.year}",
            "time": f"{now.hour}:{now.minute}:{now.second}",
            "status": status,
            "verbosity": verbosity,
            "message": message,
        }
        os.write(self._file, msgspec.json.encode(line) + b"\n")


def span(seconds: float) -> str:
    """A duration as `H:MM:SS.ffffff`; days are counted in hours."""
    whole = timedelta(seconds=max(0.0, seconds))
    minutes, rest = divmod(whole.days * 86_400 + whole.seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}.{whole.microseconds:06d}"


class Pace:
    """Says when the next line is due, so that a fast loop does not flood its reader."""

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._next = -float("inf")

    def due(self) -> bool:
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._interval_s
        return True
