"""Starts a daemon in the background: in a session of its own, without a terminal."""

from __future__ import annotations

import subprocess
import tempfile

from taod import program
from taod.errors import TaodError


class NotStarted(TaodError):
    """The daemon ended before it served; the message is its standard error."""


def start(*options: str) -> tuple[subprocess.Popen[str], str]:
    """Start `taod serve` with these options. Returns its process and the line that it announces itself with.

    Once it serves, the daemon writes to its log only. Raises NotStarted.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        daemon = subprocess.Popen(
            program.module("taod", "serve", "--in-background", *options),
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        assert daemon.stdout is not None
        with daemon.stdout:
            line = daemon.stdout.readline().strip()
        if not line:
            daemon.wait()
            errors.seek(0)
            raise NotStarted(errors.read().strip().removeprefix("taod: ") or f"exit code {daemon.returncode}")
    return daemon, line
