"""`python -m bench.soak [MINUTES]`: the dashboard kept open on a daemon whose trainings report 100 lines per second."""

from __future__ import annotations

import asyncio
import os
import select
import statistics
import sys
import threading
import time
from pathlib import Path

import psutil

from bench import _daemon
from bench._terminal import Terminal, dashboard
from taod.client import AsyncClient
from taod.client.find import find
from taod.types.job import JobRun
from taod.types.state import State

RUNS = 5
LINES_PER_S = 20
WARM_S = 60.0
EVERY_S = 10.0
KEYS = (b"k", b"l", b"\x1b[B", b"d", b"s", b"\x1b[A", b"f", b"k", b"\x1b[A", b"g")
"""Keys that are pressed in turn, one per second."""
TOOL = r"""#!/bin/bash
# Stands for a training that writes 20 lines per second to its log and status; an epoch takes 10 s.
for argument in "$@"; do case $argument in --results_dir=*) results=${argument#*=} ;; esac; done
for ((line = 1; line <= LINES; line++)); do
  loss=$((RANDOM % 1000)) epoch=$((1 + line / 200))
  echo "INFO epoch $epoch step $line loss 0.$loss"
  printf '{"status": "RUNNING", "epoch": %d, "max_epoch": LINES, "cur_iter": %d, "kpi": {"loss": 0.%03d}}\n' \
    $epoch $line $loss >> "$results/status.json"
  read -t 0.05 <> <(:)
done
"""


def run(minutes: float = 1.0) -> list[tuple[str, str, str]]:
    """CPU and memory of an open dashboard over this time."""
    lines = int((minutes + 5) * 60 * LINES_PER_S)
    config = f"[devices]\ngpus = false\ncpu_slots = {RUNS}\n"
    with _daemon.serving(tool=TOOL.replace("LINES", str(lines)), config=config) as root:
        asyncio.run(_post(root))
        try:
            with dashboard(root) as terminal:
                return _watch(terminal, minutes * 60)
        finally:
            asyncio.run(_cancel(root))


async def _post(root: Path) -> None:
    async with _daemon.model(root) as (client, model_id):
        await client.jobs.run("model", model_id, [JobRun(["train"]) for _ in range(RUNS)])


async def _cancel(root: Path) -> None:
    """Cancel the runs, which would outlive the daemon."""
    async with AsyncClient.from_info(find(root)) as client:
        for view in (await client.jobs.list(state=State.RUNNING)).items:
            await client.jobs.cancel(view.id)
        for _ in range(300):
            counts = await client.jobs.counts()
            if not counts.get(State.STOPPING, 0) and not counts.get(State.RUNNING, 0):
                return
            await asyncio.sleep(0.1)


def _watch(terminal: Terminal, seconds: float) -> list[tuple[str, str, str]]:
    process, drawn, over = psutil.Process(terminal.pid), [0], threading.Event()

    def read() -> None:
        while not over.is_set():
            if select.select([terminal.descriptor], [], [], 0.5)[0]:
                drawn[0] += len(os.read(terminal.descriptor, 1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for key in (*KEYS, *KEYS):  # every page has been opened once
            os.write(terminal.descriptor, key)
            time.sleep(WARM_S / 20)
        samples = [_sample(process)]
        spent, began, before = _cpu(process), time.monotonic(), drawn[0]
        pressed = 0
        while (passed := time.monotonic() - began) < seconds:
            os.write(terminal.descriptor, KEYS[pressed % len(KEYS)])
            pressed += 1
            if passed > len(samples) * EVERY_S:
                samples.append(_sample(process))
            time.sleep(1.0)
        busy = 100 * (_cpu(process) - spent) / (time.monotonic() - began)
    finally:
        over.set()
        reader.join()
    rss = [sample[0] / 1e6 for sample in samples]
    quarter = max(1, len(rss) // 4)
    early, late = statistics.mean(rss[:quarter]), statistics.mean(rss[-quarter:])
    return [
        ("minutes, keys, MB drawn", f"{seconds / 60:.0f}, {pressed}, {(drawn[0] - before) / 1e6:.0f}", ""),
        ("RSS, mean of the first and of the last quarter", f"{early:.1f} MB, {late:.1f} MB", "flat"),
        ("RSS by the minute", ", ".join(f"{megabytes:.0f}" for megabytes in rss[:: int(60 / EVERY_S)]) + " MB", ""),
        ("CPU", f"{busy:.0f} % of a core", ""),
        ("threads and connections, at the start and at the end", f"{samples[0][1:]}, {samples[-1][1:]}", "the same"),
    ]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _sample(process: psutil.Process) -> tuple[int, int, int]:
    """RSS in bytes, threads, connections."""
    return process.memory_info().rss, process.num_threads(), len(process.net_connections(kind="tcp"))


if __name__ == "__main__":
    for row in run(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0):
        print("| " + " | ".join(row) + " |")
