"""Latency from a request to the running tool, from a run's end to the next start, from a status line to a client, and
from a cancel to the process's end; compared with task-spooler and Slurm where they are installed."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from contextlib import aclosing
from pathlib import Path

from bench._daemon import milliseconds, model, serving
from bench._queues import Peer, TaskSpooler, peers
from runners import processes
from taod.client import AsyncClient
from taod.paths import Root
from taod.types.event import StatusUpdate
from taod.types.job import JobRun, JobView

POSTS = 30
QUEUED = 20
LINES = 40
CANCELS = 20
FOR_EVER = 100_000
"""Status lines that are not measured."""


def run() -> list[tuple[str, str, str]]:
    with serving() as root:
        starts, gaps = asyncio.run(_dispatch(root))
    with serving(LINES) as root:
        events = asyncio.run(_events(root))
    with serving(FOR_EVER) as root:
        cancels = asyncio.run(_cancels(root))
    with peers() as others:
        theirs = {
            peer.name: (peer.starts(_count(peer, POSTS)), peer.gaps(_count(peer, QUEUED)), peer.cancels(CANCELS))
            for peer in others
        }
    return [
        _row("POST job → tool running, free device", starts, {name: each[0] for name, each in theirs.items()}, 10),
        _row(
            "a run's end → the next tool running on that device", gaps, {n: each[1] for n, each in theirs.items()}, 50
        ),
        _row("status.json line → event at an attached client", events, {}, 50),
        _row(
            "cancel → process ended (exits on SIGTERM)", cancels, {name: each[2] for name, each in theirs.items()}, 100
        ),
    ]


def _row(figure: str, ours: list[float], theirs: dict[str, list[float]], goal_ms: int) -> tuple[str, str, str]:
    ratios = [
        f"{name} {milliseconds(figures)}, taod {statistics.median(ours) / statistics.median(figures):.2g} × that"
        for name, figures in theirs.items()
    ]
    return figure, milliseconds(ours), "; ".join([*ratios, f"goal ≤ {goal_ms} ms"])


def _count(peer: Peer, most: int) -> int:
    """Samples per peer; a cluster takes a second for each."""
    return most if isinstance(peer, TaskSpooler) else min(most, 10)


async def _dispatch(root: Path) -> tuple[list[float], list[float]]:
    starts = []
    async with model(root) as (client, model_id):
        train = JobRun(actions=["train"])
        for _ in range(POSTS):
            posted = time.time()
            (job_id,) = await client.jobs.run("model", model_id, train)
            await _ended(client, job_id)
            starts.append(_moment(root, job_id, "began") - posted)
        job_ids = await client.jobs.run("model", model_id, [train] * QUEUED)
        await _ended(client, job_ids[-1])
        gaps = [
            _moment(root, after, "began") - _moment(root, before, "ended")
            for before, after in itertools.pairwise(job_ids)
        ]
    return starts, gaps


async def _ended(client: AsyncClient, job_id: str) -> None:
    async with aclosing(client.jobs.watch(job_id)) as updates:
        async for update in updates:
            if isinstance(update, JobView) and update.state.ended:
                assert update.state.value == "done", update.reason
                return


async def _events(root: Path) -> list[float]:
    delays = []
    async with model(root) as (client, model_id):
        (job_id,) = await client.jobs.run("model", model_id, JobRun(actions=["train"]))
        async with aclosing(client.jobs.watch(job_id)) as updates:
            async for update in updates:
                if isinstance(update, StatusUpdate) and update.epoch:
                    delays.append(time.time() - float(update.message))
                elif isinstance(update, JobView) and update.state.ended:
                    return delays
    return delays


async def _cancels(root: Path) -> list[float]:
    """Cancel latencies of a tool that runs until SIGTERM."""
    delays = []
    async with model(root) as (client, model_id):
        for _ in range(CANCELS):
            (job_id,) = await client.jobs.run("model", model_id, JobRun(actions=["train"]))
            async with aclosing(client.jobs.watch(job_id)) as updates:
                async for update in updates:
                    if isinstance(update, StatusUpdate) and update.epoch:
                        break
            descriptor = os.pidfd_open(int((Root(root).job(job_id).results / "pid").read_text()))
            at = time.perf_counter()
            asking = asyncio.create_task(client.jobs.cancel(job_id))
            await processes.readable(descriptor)
            delays.append(time.perf_counter() - at)
            os.close(descriptor)
            await asking
    return delays


def _moment(root: Path, job_id: str, name: str) -> float:
    return float((Root(root).job(job_id).results / name).read_text())
