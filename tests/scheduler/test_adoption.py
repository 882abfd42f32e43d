"""A daemon that is killed at any instant loses no job, starts none twice and leaks no lease: real daemons, SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sched_world import GOOD, LONG, OBEDIENT, World, end_all

from runners import processes
from taod.scheduler.supervision.adoption import NOT_STARTED
from taod.types.reason import POSTED
from taod.types.state import State
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow(seconds=1)

DAEMON = Path(__file__).parent / "daemon_process.py"


async def daemon(root: Path, die_in: str = "") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(DAEMON),
        str(root),
        die_in,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


async def kill(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGKILL)
    await process.wait()


@asynccontextmanager
async def restarted(root: Path, *, grace_s: float = 15.0) -> AsyncIterator[World]:
    """The next daemon over the same root, in this process."""
    world = World(root, grace_s=grace_s)
    try:
        await world.scheduler.start()
        yield world
    finally:
        await end_all(world)


def posted(root: Path, *scripts: str) -> list[str]:
    """Jobs put into a root that no daemon serves."""
    world = World(root)
    world.scheduler.wake = lambda: None  # type: ignore[method-assign]
    job_ids = [world.post(script) for script in scripts]
    world.store.close()
    return job_ids


async def first_run(root: Path, job_id: str) -> None:
    """Wait until the tool of the first attempt runs."""
    from watchfiles import awatch

    ready = root / "jobs" / job_id / "ready"

    async def look() -> None:
        async for _ in awatch(root / "jobs", step=10, debounce=20, rust_timeout=50, yield_on_timeout=True):
            if await asyncio.to_thread(ready.exists):
                return

    await asyncio.wait_for(look(), PATIENCE_S)


def runs_of(world: World, job_id: str) -> int:
    """How many times the tool was executed."""
    return world.log(job_id).count(f"run {job_id}/")


async def test_a_run_outlives_its_daemon_and_is_adopted(tmp_path: Path) -> None:
    (job_id,) = posted(tmp_path, LONG)
    process = await daemon(tmp_path)
    await first_run(tmp_path, job_id)
    await kill(process)
    async with restarted(tmp_path) as world:
        assert world.job(job_id).state is State.RUNNING
        assert [lease.job_id for lease in world.store.leases.all()] == [job_id]
        world.file(job_id, "go").touch()
        job = await world.until(job_id, State.DONE)
        assert (job.attempt, runs_of(world, job_id), job.reason_text) == (1, 1, "All went well")
        assert world.store.leases.all() == []


@pytest.mark.parametrize(
    ("script", "state", "words"),
    [
        (LONG, State.DONE, "All went well"),
        (LONG.replace("SUCCESS", "RUNNING") + "; exit 4", State.FAILED, "exit code 4"),
    ],
)
async def test_a_run_that_ended_without_a_daemon_is_finalized(
    tmp_path: Path, script: str, state: State, words: str
) -> None:
    (job_id,) = posted(tmp_path, script)
    process = await daemon(tmp_path)
    await first_run(tmp_path, job_id)
    await kill(process)
    pid = int((tmp_path / "jobs" / job_id / "runs" / "1" / "pid").read_text().split()[0])
    fd = os.pidfd_open(pid)
    (tmp_path / "jobs" / job_id / "go").touch()
    await asyncio.wait_for(processes.readable(fd), PATIENCE_S)
    os.close(fd)
    async with restarted(tmp_path) as world:
        job = await world.until(job_id, state)
        assert job.reason_text.startswith(words)
        assert (job.attempt, runs_of(world, job_id)) == (1, 1)


@pytest.mark.parametrize("die_in", ["leased", "starting", "started", "running"])
async def test_a_daemon_that_dies_between_two_steps_of_a_start_loses_and_repeats_nothing(
    tmp_path: Path, die_in: str
) -> None:
    job_ids = posted(tmp_path, GOOD, GOOD)
    process = await daemon(tmp_path, die_in)
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == -signal.SIGKILL
    async with restarted(tmp_path) as world:
        for job_id in job_ids:
            await world.until(job_id, State.DONE)
            assert runs_of(world, job_id) == 1
        if die_in == "leased":
            assert NOT_STARTED in [entry.reason for entry in world.store.jobs.history(job_ids[0])]
        if die_in in ("started", "running"):
            assert world.job(job_ids[0]).attempt == 1
        assert world.store.leases.all() == []


@pytest.mark.parametrize("die_in", ["starting", "started"])
async def test_a_daemon_that_dies_during_adoption_loses_and_repeats_nothing(tmp_path: Path, die_in: str) -> None:
    job_ids = posted(tmp_path, GOOD, GOOD)
    for state in (die_in, "adopting", "adopting"):
        process = await daemon(tmp_path, state)
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == -signal.SIGKILL
    async with restarted(tmp_path) as world:
        for job_id in job_ids:
            await world.until(job_id, State.DONE)
            assert runs_of(world, job_id) == 1
        assert world.store.leases.all() == []


@pytest.mark.parametrize("delay_ms", [0, 3, 6, 10, 15, 25])
async def test_a_daemon_killed_at_any_instant_loses_and_repeats_nothing(tmp_path: Path, delay_ms: int) -> None:
    job_ids = posted(tmp_path, GOOD, GOOD, GOOD)
    process = await daemon(tmp_path)
    assert process.stdout is not None
    await process.stdout.readline()
    await asyncio.sleep(delay_ms / 1000)  # the instant of the kill, not a wait for something
    await kill(process)
    async with restarted(tmp_path) as world:
        for job_id in job_ids:
            await world.until(job_id, State.DONE)
            assert runs_of(world, job_id) == 1
        assert world.store.leases.all() == []


@pytest.mark.parametrize(("intent", "state"), [("cancel", State.CANCELLED), ("pause", State.PAUSED)])
async def test_a_stop_requested_before_the_daemon_died_is_carried_out(
    tmp_path: Path, intent: str, state: State
) -> None:
    (job_id,) = posted(tmp_path, "trap '' TERM; " + LONG)
    world = World(tmp_path)
    await world.scheduler.start()
    await world.until_epoch(job_id)
    await (world.scheduler.cancel if intent == "cancel" else world.scheduler.pause)(job_id)
    await world.close()  # a kill leaves the intent in the store, and the run
    async with restarted(tmp_path, grace_s=0.2) as heir:
        job = await heir.until(job_id, state)
        run = heir.store.runs.latest(job_id)
        assert run is not None and run.exit_code == 137
        assert (job.attempt, job.stop_intent) == (1, None)


async def test_an_adopted_run_can_be_cancelled(tmp_path: Path) -> None:
    (job_id,) = posted(tmp_path, OBEDIENT)
    process = await daemon(tmp_path)
    await first_run(tmp_path, job_id)
    await kill(process)
    async with restarted(tmp_path) as world:
        await world.scheduler.cancel(job_id)
        await world.until(job_id, State.CANCELLED)
        assert "saved" in world.log(job_id)
        assert processes.members(f"TAOD_RUN={job_id}/1") == []


async def test_a_leased_job_stopped_before_its_start_is_cancelled(tmp_path: Path) -> None:
    (job_id,) = posted(tmp_path, GOOD)
    world = World(tmp_path)
    world.store.jobs.lease(job_id, [("cpu:0", 0)], POSTED)
    world.store.jobs.update(job_id, stop_intent="cancel")
    world.store.close()
    async with restarted(tmp_path) as heir:
        assert heir.job(job_id).state is State.CANCELLED
        assert heir.said(job_id) == "Cancelled by user"
        assert heir.store.leases.all() == []


async def test_stopping_the_scheduler_leaves_runs_running(tmp_path: Path) -> None:
    (job_id,) = posted(tmp_path, LONG)
    world = World(tmp_path)
    await world.scheduler.start()
    await world.until_epoch(job_id)
    await world.close()
    assert len(processes.members(f"TAOD_RUN={job_id}/1")) >= 2
    async with restarted(tmp_path) as heir:
        heir.file(job_id, "go").touch()
        await heir.until(job_id, State.DONE)
        assert runs_of(heir, job_id) == 1
