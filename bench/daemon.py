"""A daemon with 10,000 jobs: time to its first answer, and CPU and memory when idle."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench import _filled
from store import Store
from taod.paths import Root

STARTS = 9
IDLE_S = 30.0
WAITING = 1_000
QUEUED = 10_000
SETTLES_S = 10.0
"""Startup work has ended after this many seconds, also on a busy machine."""


def run() -> list[tuple[str, str, str]]:
    bare = [_bare_s() for _ in range(STARTS)]
    rows = []
    for what, more in (
        ("10,000 jobs", {"models": 1_000, "jobs_each": 9, "waiting": WAITING}),
        ("10,000 queued jobs", {"queued": QUEUED}),
    ):
        with tempfile.TemporaryDirectory(prefix="taod-bench-") as folder:
            root = Root(Path(folder) / "root")
            root.make()
            _filled.fill(root.database, **more)
            _close_queue(root)
            rows += _of(root, what, bare)
    return rows


def _close_queue(root: Root) -> None:
    """Pause the queue, so that no job starts during the benchmark."""
    store = Store.open(root.database)
    store.queue.pause("the measurement", "")
    store.close()


def _of(root: Root, what: str, bare: list[float]) -> list[tuple[str, str, str]]:
    starts = [_start_s(root) for _ in range(STARTS)]
    with _serving(root) as (process, port):
        _first_answer(port)
        time.sleep(SETTLES_S)
        percent, rss = _idle(process)
    return [
        (
            f"start → first answer, {what}",
            f"{statistics.median(starts):.2f} s (from {min(starts):.2f} to {max(starts):.2f}, n = {STARTS})",
            f"goal < 0.6 s; `import litestar, uvicorn` alone {statistics.median(bare):.2f} s (from {min(bare):.2f})",
        ),
        (f"idle CPU, {what}, over {IDLE_S:.0f} s", f"{percent:.2f} % of a core", "goal < 0.5 %"),
        (f"idle RSS, {what}", f"{rss / 1e6:.0f} MB", "goal < 100 MB"),
    ]


def _start_s(root: Root) -> float:
    began = time.perf_counter()
    with _serving(root) as (_, port):
        _first_answer(port)
        return time.perf_counter() - began


def _bare_s() -> float:
    """Import time of the libraries alone, a lower bound for the daemon."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import litestar, uvicorn, uvloop"], check=True)
    return time.perf_counter() - began


@contextmanager
def _serving(root: Root) -> Iterator[tuple[psutil.Process, int]]:
    """Yields the daemon's process and its port, which is chosen in advance so that requests need no announcement."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "taod", "serve", "--root", str(root.path), "--port", str(port)]
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        yield psutil.Process(daemon.pid), port
    finally:
        daemon.terminate()
        daemon.communicate(timeout=30)


def _first_answer(port: int) -> None:
    request = b"GET /api/v1/health/readiness HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.sendall(request)
                if connection.recv(4096).startswith(b"HTTP/1.1 200"):
                    return
        except ConnectionRefusedError:
            pass
        time.sleep(0.002)
    raise RuntimeError("the daemon does not answer")


def _idle(process: psutil.Process) -> tuple[float, int]:
    """CPU in percent of one core, and bytes of memory at the end."""
    before = process.cpu_times()
    time.sleep(IDLE_S)
    after = process.cpu_times()
    spent = (after.user + after.system) - (before.user + before.system)
    return 100 * spent / IDLE_S, process.memory_info().rss
