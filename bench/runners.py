"""Overhead of a runner: the same container or cluster job started bare and by its runner, in turns.

Each uses a container engine or one-node cluster of its own, like the tests; a row reports a missing one.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from runners.docker.runner import Docker
from runners.protocol import Command, Runner, RunRequest
from runners.slurm.runner import Slurm
from taod.config import DockerConfig, SlurmConfig
from taod.watch import FolderWatch
from tests.runners import engines

TURNS = 20
GOAL = "goal ≤ 1.1 × + 50 ms"
RECORD_START = 'read up idle </proc/uptime; echo "$up" >"$0.part"; mv "$0.part" "$0"; '

Bare = Callable[[Path], None]


def run() -> list[tuple[str, str, str]]:
    rows = []
    for name, measure in (("docker", _docker), ("slurm", _slurm)):
        try:
            with tempfile.TemporaryDirectory(prefix="taod-bench-") as folder:
                rows += measure(Path(folder))
        except pytest.skip.Exception as reason:
            rows.append((name, f"not on this machine: {reason}", GOAL))
    return rows


def _docker(folder: Path) -> list[tuple[str, str, str]]:
    with engines.dockerd() as engine:
        runner = Docker(DockerConfig(socket=engine.url, images={"tlt-pytorch": engines.IMAGE}, ulimits={}))

        def bare(home: Path) -> None:
            words = ["docker", "-H", engine.url, "run", "--detach", "--network", "none", "-v", f"{home}:{home}"]
            words += ["--entrypoint", "/bin/sh", engines.IMAGE, "-c", f"{RECORD_START}:", str(home / "started")]
            subprocess.run(words, check=True, capture_output=True)

        return asyncio.run(_both("docker run -d", "docker", runner, bare, folder))


def _slurm(folder: Path) -> list[tuple[str, str, str]]:
    with engines.cluster() as cluster:
        runner = Slurm(SlurmConfig(conf=str(cluster.conf)))

        def bare(home: Path) -> None:
            script = home / "job.sh"
            script.write_text(f"#!/bin/sh\nset -- x\nsh -c '{RECORD_START}:' {home}/started\n")
            subprocess.run(
                ["sbatch", "--parsable", f"--output={home}/out", str(script)],
                check=True,
                capture_output=True,
                env=os.environ | {"SLURM_CONF": str(cluster.conf)},
            )

        return asyncio.run(_both("sbatch", "slurm", runner, bare, folder))


async def _both(peer: str, name: str, runner: Runner, bare: Bare, folder: Path) -> list[tuple[str, str, str]]:
    """Seconds to the return of the call and to the tool's first line, for each of the two."""
    returned: dict[str, list[float]] = {"bare": [], "runner": []}
    started: dict[str, list[float]] = {"bare": [], "runner": []}

    async def timed(kind: str, start: Callable[[Path], Awaitable[object]]) -> None:
        home = folder / str(uuid.uuid4())
        home.mkdir()
        at = time.clock_gettime(time.CLOCK_BOOTTIME)
        await start(home)
        returned[kind].append(time.clock_gettime(time.CLOCK_BOOTTIME) - at)
        async with FolderWatch(home) as watch:
            while not (home / "started").exists():
                await watch.changed()
        started[kind].append(float((home / "started").read_text()) - at)

    async def by_hand(home: Path) -> None:
        await asyncio.to_thread(bare, home)

    async def by_runner(home: Path) -> None:
        argv = ["/bin/sh", "-c", f"{RECORD_START}:", str(home / "started")]
        request = RunRequest(home.name, 1, Command("dino", "train", argv, "tlt-pytorch"), str(home))
        identity = await runner.start(request)
        ends.append(asyncio.create_task(runner.wait(identity, request)))

    ends: list[asyncio.Task[object]] = []
    for turn in range(TURNS + 1):
        await timed("bare", by_hand)
        await timed("runner", by_runner)
        await asyncio.gather(*ends)
        if turn == 0:  # The first turn warms up.
            for figures in (*returned.values(), *started.values()):
                figures.clear()
    return [
        (f"{name}: request → started", _ratio(returned), f"{peer} {_ms(returned['bare'])}; {GOAL}"),
        (f"{name}: request → tool running", _ratio(started), f"{peer} {_ms(started['bare'])}; {GOAL}"),
    ]


def _ratio(figures: dict[str, list[float]]) -> str:
    ours, bare = (statistics.median(figures[kind]) for kind in ("runner", "bare"))
    return f"{_ms(figures['runner'])}, {ours / bare:.2f} × the peer, {(ours - bare) * 1000:+.0f} ms"


def _ms(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} ms"
