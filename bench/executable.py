"""`taod --version` by the executable of `make binary`, against the same program of a virtual environment."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).parents[1] / "dist" / "taod"
FIRST, LATER = 3, 15
"""Starts with an empty cache, and with a filled one."""


def run() -> Iterator[tuple[str, str, str]]:
    """Rows of figure, measured value and peer. Taking turns, since other work changes the times."""
    if not FILE.exists():
        raise SystemExit(f"{FILE} does not exist; `make binary` writes it")
    own = str(Path(sys.executable).with_name("taod"))
    firsts = []
    for _ in range(FIRST):
        with tempfile.TemporaryDirectory() as cache:
            firsts.append(_seconds(str(FILE), cache))
    with tempfile.TemporaryDirectory() as cache:
        _seconds(str(FILE), cache)
        laters, peers = [], []
        for _ in range(LATER):
            laters.append(_seconds(str(FILE), cache))
            peers.append(_seconds(own, cache))
    yield "executable: first `taod --version`", f"{statistics.median(firsts):.2f} s", "-"
    peer = f"{1000 * statistics.median(peers):.0f} ms in a virtual environment"
    yield "executable: later ones", f"{1000 * statistics.median(laters):.0f} ms", peer


def _seconds(program: str, cache: str) -> float:
    start = time.perf_counter()
    environment = os.environ | {"XDG_CACHE_HOME": cache}
    subprocess.run([program, "--version"], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start
