"""The real dashboard in a pseudo-terminal: measures the time from a key to its effect on the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 60.0
QUIET_S = 0.15
"""The screen is settled after this many seconds without output."""
COLUMNS, LINES = 140, 44


class Terminal:
    """The user's side of a pseudo-terminal."""

    def __init__(self, descriptor: int, pid: int) -> None:
        self.descriptor, self.pid = descriptor, pid

    def press(self, key: bytes, wanted: bytes = b"") -> float:
        """Seconds from a key to the first output, or to the wanted bytes. Raises TimeoutError."""
        began = time.perf_counter()
        os.write(self.descriptor, key)
        return self.until(wanted) - began

    def until(self, wanted: bytes = b"") -> float:
        """Time at which the wanted bytes, or any, are read. Raises TimeoutError."""
        seen, deadline = b"", time.perf_counter() + PATIENCE_S
        while time.perf_counter() < deadline:
            if select.select([self.descriptor], [], [], 1.0)[0]:
                seen = seen[-4096:] + os.read(self.descriptor, 1 << 16)
                if wanted in seen:
                    return time.perf_counter()
        raise TimeoutError(f"{wanted!r} did not come; the last bytes were {seen[-2000:]!r}")

    def settle(self) -> None:
        """Read until the screen is settled."""
        while select.select([self.descriptor], [], [], QUIET_S)[0]:
            os.read(self.descriptor, 1 << 16)


@contextmanager
def dashboard(root: Path, *options: str) -> Iterator[Terminal]:
    """Run `taod tui` on the daemon of a root during the block."""
    pid, descriptor = pty.fork()
    if pid == 0:
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        environment = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
        command = [sys.executable, "-m", "taod", "tui", "--root", str(root), "--no-bell", *options]
        os.execvpe(command[0], command, environment)
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    try:
        yield Terminal(descriptor, pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(descriptor)
        os.waitpid(pid, 0)
