"""The dashboard with 10,000 jobs and a 1 GB log, in a pseudo-terminal: time to the first paint and after a key."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import _filled
from bench._terminal import Terminal, dashboard
from bench.daemon import _first_answer, _serving
from taod.client import AsyncClient
from taod.client.find import find
from taod.paths import Root

STARTS = 7
KEYS = 40
LOG_BYTES = 1_000_000_000
FIRST_LINE, LAST_LINE = b"begins_here", b"ends_here"
DOWN, PAGE_DOWN, PAGE_UP, HOME, END = b"\x1b[B", b"\x1b[6~", b"\x1b[5~", b"\x1b[H", b"\x1b[F"


def run() -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory(prefix="taod-bench-") as folder:
        root = Root(Path(folder) / "root")
        root.make()
        _filled.fill(root.database, models=1_000, jobs_each=10)
        with _serving(root) as (_, port):
            _first_answer(port)
            newest, second, oldest = asyncio.run(_jobs(root))
            _write_log(root.job(second).log)
            paints, fills = zip(*(_start(root, newest) for _ in range(STARTS)), strict=True)
            with dashboard(root.path) as terminal:
                terminal.until(newest[:8].encode())
                terminal.settle()
                return [
                    _seconds("start → first paint", paints, f"goal < 0.5 s; {_bare()}"),
                    _seconds("start → jobs on the screen", fills, ""),
                    *_in_list(terminal, oldest),
                    *_in_log(terminal),
                ]


async def _jobs(root: Root) -> tuple[str, str, str]:
    """Ids of the newest job, the second newest, and the oldest."""
    async with AsyncClient.from_info(find(root.path)) as client:
        first = await client.jobs.list(size=2)
        last = await client.jobs.list(skip=first.total - 1, size=1)
    return first.items[0].id, first.items[1].id, last.items[0].id


def _write_log(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    line = b"2026-01-01 10:00:00 INFO step %07d loss 0.4711 lr 0.001 throughput 1234.5 images/s on cpu0\n"
    block = b"".join(line % number for number in range(10_000))
    with path.open("wb") as log:
        log.write(b"2026-01-01 10:00:00 INFO %s\n" % FIRST_LINE)
        while log.tell() < LOG_BYTES:
            log.write(block)
        log.write(b"2026-01-01 10:00:00 INFO %s\n" % LAST_LINE)


def _start(root: Root, newest: str) -> tuple[float, float]:
    began = time.perf_counter()
    with dashboard(root.path) as terminal:
        painted = terminal.until(b"Devices")
        filled = terminal.until(newest[:8].encode())
        terminal.settle()
    return painted - began, filled - began


def _bare() -> str:
    """Import time of the libraries alone, a lower bound for the dashboard."""
    took = []
    for _ in range(STARTS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import httpx, textual.app"], check=True)
        took.append(time.perf_counter() - began)
    return f"`import httpx, textual.app` alone {statistics.median(took):.2f} s (from {min(took):.2f})"


def _in_list(terminal: Terminal, oldest: str) -> list[tuple[str, str, str]]:
    terminal.press(PAGE_DOWN)  # beyond the job with the log
    terminal.settle()
    figures = [_keys(terminal, "a key down in the list → screen", DOWN), _keys(terminal, "a page down", PAGE_DOWN)]
    took = terminal.press(END, oldest[:8].encode())
    figures.append(("end → the last of 10,000 jobs, read from the daemon", f"{took:.2f} s", ""))
    terminal.settle()
    figures.append(_keys(terminal, "a page up, all 10,000 loaded", PAGE_UP))
    terminal.press(HOME)
    terminal.settle()
    return figures


def _in_log(terminal: Terminal) -> list[tuple[str, str, str]]:
    figures = [("a log of 1 GB chosen → its last lines", f"{terminal.press(DOWN, LAST_LINE) * 1000:.0f} ms", "")]
    terminal.settle()
    terminal.press(b"l")
    terminal.settle()
    figures.append(_keys(terminal, "a page up in the log", PAGE_UP))
    took = terminal.press(HOME, FIRST_LINE)
    figures.append(("home → its first lines", f"{took * 1000:.0f} ms", ""))
    terminal.settle()
    figures.append(_keys(terminal, "a page down in the log", PAGE_DOWN))
    return figures


def _keys(terminal: Terminal, figure: str, key: bytes) -> tuple[str, str, str]:
    took = []
    for _ in range(KEYS):
        took.append(terminal.press(key) * 1000)
        terminal.settle()
    ordered = sorted(took)
    return (
        figure,
        f"{statistics.median(took):.0f} ms (95 %: {ordered[int(0.95 * KEYS)]:.0f}, max {ordered[-1]:.0f}, n = {KEYS})",
        "goal < 50 ms",
    )


def _seconds(figure: str, took: tuple[float, ...], goal: str) -> tuple[str, str, str]:
    return figure, f"{statistics.median(took):.2f} s (from {min(took):.2f} to {max(took):.2f}, n = {len(took)})", goal
