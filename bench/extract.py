"""Extraction against `tar x` of the same archive in the same run.

Rounds alternate, so that a slowing disk affects both alike. The ratio is of the medians; above 1 taod is faster.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from taod.config import LimitsConfig
from taod.datasets.archive.extract import extract

ROUNDS = 5
SETS = [
    ("20,000 thumbnails", 20_000, 500, 8_000),
    ("2,000 photographs", 2_000, 80_000, 250_000),
    ("8 large files", 8, 40_000_000, 60_000_000),
]
"""Name of each set, number of files, and smallest and largest size in bytes."""

KINDS = {"tar": [], "tar.gz": ["-z"], "tar.zst": ["--zstd"]}


def run(folder: Path | None = None) -> Iterator[tuple[str, str, str]]:
    """Rows of figure, measured value and peer, per set and archive format."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        work = Path(name)
        for label, count, least, most in SETS:
            tree = work / "tree"
            _fill(tree, count, least, most)
            for kind, flags in KINDS.items():
                archive = work / f"data.{kind}"
                subprocess.run(["tar", *flags, "-cf", archive, "-C", tree, "."], check=True)
                yield _compare(f"extract {kind} of {label}", archive, work / "out")
                archive.unlink()
            shutil.rmtree(tree)


def _fill(folder: Path, count: int, least: int, most: int) -> None:
    """Write incompressible files, like images."""
    draw = random.Random(1)
    for n in range(count):
        inner = folder / f"{n % 20:02d}"
        inner.mkdir(parents=True, exist_ok=True)
        (inner / f"{n:06d}.png").write_bytes(os.urandom(draw.randint(least, most)))


def _compare(figure: str, archive: Path, out: Path) -> tuple[str, str, str]:
    def tar() -> None:
        out.mkdir()
        subprocess.run(["tar", "-xf", archive, "-C", out], check=True)

    def ours() -> None:
        extract(archive, out, LimitsConfig())

    took: dict[str, list[float]] = {"tar": [], "ours": []}
    for _ in range(ROUNDS):
        for who, run in (("tar", tar), ("ours", ours)):
            took[who].append(_timed(run))
            shutil.rmtree(out)
    theirs, mine = statistics.median(took["tar"]), statistics.median(took["ours"])
    return figure, f"{mine:.3f} s, {theirs / mine:.2f} × tar's speed", f"tar x: {theirs:.3f} s; goal 0.8 ×"


def _timed(run: Callable[[], None]) -> float:
    os.sync()  # flush the writes of earlier rounds
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
