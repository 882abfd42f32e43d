"""Extraction against `tar x` of the same archive in the same run: `python -m bench.extract [--folder DIR]`.

Rounds alternate, so that a disk that grows slow grows slow for both; the ratio is of the medians, above 1 where taod is
the faster. The target is 0.8.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from taod.config import LimitsConfig
from taod.datasets.extract import extract

ROUNDS = 5
SETS = {
    "small pictures": [("many", 20_000, 500, 8_000)],
    "photographs": [("photos", 2_000, 80_000, 250_000)],
    "large files": [("large", 8, 40_000_000, 60_000_000)],
}
"""What is packed: name, files, least and most bytes each."""

KINDS = {"tar": [], "tar.gz": ["-z"], "tar.zst": ["--zstd"]}


def main() -> None:
    """Make the archives, time both on each, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where to work (a folder of the disk in question)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        print(f"{'set':16}{'kind':9}{'files':>7}{'MB':>7}{'tar x s':>10}{'taod s':>10}{'ratio':>8}")
        for label, groups in SETS.items():
            tree = folder / "tree"
            for group, count, least, most in groups:
                _fill(tree / group, count, least, most)
            for kind, flags in KINDS.items():
                archive = folder / f"data.{kind}"
                subprocess.run(["tar", *flags, "-cf", archive, "-C", tree, "."], check=True)
                _compare(label, kind, archive, folder / "out", options.rounds)
                archive.unlink()
            shutil.rmtree(tree)


def _fill(folder: Path, count: int, least: int, most: int) -> None:
    """Files that do not shrink, as pictures do not."""
    draw = random.Random(1)
    for n in range(count):
        inner = folder / f"{n % 20:02d}"
        inner.mkdir(parents=True, exist_ok=True)
        (inner / f"{n:06d}.png").write_bytes(os.urandom(draw.randint(least, most)))


def _compare(label: str, kind: str, archive: Path, out: Path, rounds: int) -> None:
    def tar() -> None:
        out.mkdir()
        subprocess.run(["tar", "-xf", archive, "-C", out], check=True)

    def ours() -> None:
        extract(archive, out, LimitsConfig())

    took: dict[str, list[float]] = {"tar": [], "ours": []}
    files = size = 0
    for _ in range(rounds):
        for who, run in (("tar", tar), ("ours", ours)):
            took[who].append(_timed(run))
            found = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
            files, size = len(found), sum(found)
            shutil.rmtree(out)
    theirs, mine = statistics.median(took["tar"]), statistics.median(took["ours"])
    print(f"{label:16}{kind:9}{files:7}{size / 1e6:7.0f}{theirs:10.3f}{mine:10.3f}{theirs / mine:8.2f}", flush=True)


def _timed(run: Callable[[], None]) -> float:
    os.sync()  # what earlier rounds left to be written is not this one's
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
