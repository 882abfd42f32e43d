"""`python -m bench [name …]`: run benchmarks and print their results as a table for docs/benchmarks.md."""

from __future__ import annotations

import compileall
import importlib
import os
import platform
import sys
from pathlib import Path

OWN = ("taod", "tui", "store", "runners")


def main(names: list[str]) -> None:
    """Run each module of this folder that has a `run() -> list[tuple[figure, value, peer or goal]]`."""
    folder = Path(__file__).parent
    known = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    unknown = set(names) - set(known)
    if unknown:
        raise SystemExit(f"unknown benchmark: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    for each in OWN:  # as in an installation, even if the environment sets PYTHONDONTWRITEBYTECODE
        compileall.compile_dir(folder.parent / each, quiet=1)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| figure | measured | peer or goal |\n|---|---|---|", flush=True)
    for name in names or known:
        for figure, measured, peer in importlib.import_module(f"bench.{name}").run():
            print(f"| {figure} | {measured} | {peer} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
