"""The real dashboard in a pseudo-terminal: keys go in, and it is timed when what they ask for comes out."""

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
"""Nothing came for so long: the screen stands."""
COLUMNS, LINES = 140, 44


class Terminal:
    """The side of a pseudo-terminal where the person sits."""

    def __init__(self, descriptor: int, pid: int) -> None:
        self.descriptor, self.pid = descriptor, pid

    def press(self, key: bytes, wanted: bytes = b"") -> float:
        """Seconds from the key to the first bytes on the screen, or to those that are wanted. Raises TimeoutError."""
        began = time.perf_counter()
        os.write(self.descriptor, key)
        return self.until(wanted) - began

    def until(self, wanted: bytes = b"") -> float:
        """The moment when the wanted bytes, or any, are on the screen. Raises TimeoutError."""
        seen, deadline = b"", time.perf_counter() + PATIENCE_S
        while time.perf_counter() < deadline:
            if select.select([self.descriptor], [], [], 1.0)[0]:
                seen = seen[-4096:] + os.read(self.descriptor, 1 << 16)
                if wanted in seen:
                    return time.perf_counter()
        raise TimeoutError(f"{wanted!r} did not come; the last bytes were {seen[-2000:]!r}")

    def settle(self) -> None:
        """Read until nothing comes for a while."""
        while select.select([self.descriptor], [], [], QUIET_S)[0]:
            os.read(self.descriptor, 1 << 16)


@contextmanager
def dashboard(root: Path, *options: str) -> Iterator[Terminal]:
    """`taod tui` on the daemon of a root; ended with the block, whatever it shows then."""
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
