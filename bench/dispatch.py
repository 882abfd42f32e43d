"""How long from the request to the running tool, from one run's end to the next one's start, from a status line
to an attached client; task-spooler does the first two as a peer where it is installed."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

from bench._daemon import milliseconds, model, serving
from taod.client.http import Client
from taod.client.watch import watch_job
from taod.paths import Root
from taod.types.event import StatusUpdate
from taod.types.job import JobRun, JobView

POSTS = 30
QUEUED = 20
LINES = 40


def run() -> list[tuple[str, str, str]]:
    with serving() as root:
        starts, gaps = asyncio.run(_dispatch(root))
    with serving(LINES) as root:
        events = asyncio.run(_events(root))
    peer_starts, peer_gaps = _task_spooler()
    return [
        ("POST job → tool running, free device", milliseconds(starts), peer_starts),
        ("a run's end → the next tool running on that device", milliseconds(gaps), peer_gaps),
        ("status.json line → event at an attached client", milliseconds(events), "goal ≤ 50 ms"),
    ]


async def _dispatch(root: Path) -> tuple[list[float], list[float]]:
    starts = []
    async with model(root) as (client, model_id):
        train = JobRun(actions=["train"])
        for _ in range(POSTS):
            posted = time.time()
            (job_id,) = await client.run("model", model_id, train)
            await _ended(client, job_id)
            starts.append(_moment(root, job_id, "began") - posted)
        job_ids = await client.run("model", model_id, [train] * QUEUED)
        await _ended(client, job_ids[-1])
        gaps = [
            _moment(root, after, "began") - _moment(root, before, "ended")
            for before, after in itertools.pairwise(job_ids)
        ]
    return starts, gaps


async def _ended(client: Client, job_id: str) -> None:
    async with aclosing(watch_job(client, job_id)) as updates:
        async for update in updates:
            if isinstance(update, JobView) and update.state.ended:
                assert update.state.value == "done", update.reason
                return


async def _events(root: Path) -> list[float]:
    delays = []
    async with model(root) as (client, model_id):
        (job_id,) = await client.run("model", model_id, JobRun(actions=["train"]))
        async with aclosing(watch_job(client, job_id)) as updates:
            async for update in updates:
                if isinstance(update, StatusUpdate) and update.epoch:
                    delays.append(time.time() - float(update.message))
                elif isinstance(update, JobView) and update.state.ended:
                    return delays
    return delays


def _moment(root: Path, job_id: str, name: str) -> float:
    return float((Root(root).job(job_id).results / name).read_text())


def _task_spooler() -> tuple[str, str]:
    """The same of `tsp` with one slot: its client is one short process a job."""
    if shutil.which("tsp") is None:
        return ("task-spooler not installed; goal ≤ 10 ms", "goal ≤ 50 ms")
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"TS_SOCKET": f"{folder}/socket", "TMPDIR": folder}

        def spool(*arguments: str) -> str:
            return subprocess.run(
                ["tsp", *arguments], env=environment, capture_output=True, text=True, check=True
            ).stdout

        def job(number: int) -> str:
            script = f"echo $EPOCHREALTIME > {folder}/{number}.began; echo $EPOCHREALTIME > {folder}/{number}.ended"
            return spool("bash", "-c", script).strip()

        def moment(number: int, name: str) -> float:
            return float((Path(folder) / f"{number}.{name}").read_text())

        try:
            starts = []
            for number in range(POSTS):
                posted = time.time()
                spool("-w", job(number))
                starts.append(moment(number, "began") - posted)
            spool("sleep", "0.5")
            queued = [job(number) for number in range(POSTS, POSTS + QUEUED)]
            spool("-w", queued[-1])
            gaps = [moment(n + 1, "began") - moment(n, "ended") for n in range(POSTS, POSTS + QUEUED - 1)]
        finally:
            spool("-K")
    return (f"task-spooler {milliseconds(starts)}; goal ≤ 10 ms", f"task-spooler {milliseconds(gaps)}; goal ≤ 50 ms")
