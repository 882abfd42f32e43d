"""Limits, retries, stalls and the use of real runs."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sched_world import GOOD, LONG, SECRET, World, end_all

from runners import cgroup, processes
from taod.config import SupervisionConfig
from taod.telemetry.log import plain
from taod.types.event import EventType
from taod.types.job import JobUsage
from taod.types.state import State
from taod.types.warning_text import text
from taod.watch import FolderWatch
from tests.patience import PATIENCE_S

MIB = 1024**2


@asynccontextmanager
async def world_of(
    folder: Path, *, grace_s: float = 0.3, in_memory: bool = True, **limits: Any
) -> AsyncIterator[World]:
    world = World(folder / "root", in_memory=in_memory, grace_s=grace_s, supervision=SupervisionConfig(**limits))
    await world.scheduler.start()
    try:
        yield world
    finally:
        await end_all(world)


def notes(world: World, job_id: str) -> list[str]:
    return [entry.reason_text for entry in world.store.jobs.history(job_id)]


async def noted(world: World, job_id: str, text: str) -> None:
    """Wait until the history has a line with this text; each awaited note comes with an event."""

    async def listen() -> None:
        async with world.bus.subscribe(None) as stream:
            while not any(text in line for line in notes(world, job_id)):
                await anext(stream)

    await asyncio.wait_for(listen(), PATIENCE_S)


async def test_a_run_is_ended_at_its_time_limit(tmp_path: Path) -> None:
    async with world_of(tmp_path, wall_s=0.3) as world:
        job_id = world.post("trap '' TERM; " + LONG)
        job = await world.until(job_id, State.FAILED)
        assert job.reason_text.splitlines()[0] == (
            "ended by taod: its time limit of 0.3 s was over (supervision.wall_s)"
        )
        assert processes.members(f"TAOD_RUN={job_id}/1") == []


async def test_the_time_of_an_adopted_run_does_not_depend_on_the_wall_clock(tmp_path: Path) -> None:
    world = World(tmp_path / "root")
    await world.scheduler.start()
    job_id = world.post(LONG)
    await world.until_epoch(job_id)
    # The clock jumped by a day: only the process's own start time is reliable, not the store's dates.
    world.store.runs.update(job_id, 1, started_at="2099-01-01T00:00:00.000000+00:00")
    await world.close()
    async with world_of(tmp_path, in_memory=False, wall_s=0.05) as heir:
        job = await heir.until(job_id, State.FAILED)
        assert job.reason_text.startswith("ended by taod: its time limit")


async def test_a_stall_warning_is_removed_by_the_next_report(tmp_path: Path) -> None:
    async with world_of(tmp_path, stall_s=0.2) as world:
        job_id = world.post("say STARTED hi; touch ready; wait_for go; echo a line; wait_for on; say SUCCESS ok")
        await noted(world, job_id, "Stalled: no line of log or status for 0.2 s")
        assert [text(each) for each in world.job(job_id).warnings] == ["Stalled: no line of log or status for 0.2 s"]
        assert world.job(job_id).state is State.RUNNING
        world.file(job_id, "go").touch()
        await noted(world, job_id, "It reports again")
        world.file(job_id, "on").touch()
        await world.until(job_id, State.DONE)


async def test_a_stopped_tool_is_recognised_and_can_be_cancelled(tmp_path: Path) -> None:
    async with world_of(tmp_path, grace_s=15.0, stall_s=0.3) as world:
        job_id = world.post("trap 'echo saved; exit 143' TERM; " + LONG)
        await world.until_epoch(job_id)
        mark = f"TAOD_RUN={job_id}/1"
        pids = processes.members(mark)
        processes.send(pids, signal.SIGSTOP)  # one of them may be a `sleep` that has just ended
        await noted(world, job_id, "is stopped (SIGSTOP)")
        await world.scheduler.cancel(job_id)
        # Well within the grace: stopped processes are continued for their SIGTERM.
        await world.until(job_id, State.CANCELLED)
        assert "saved" in world.log(job_id) and processes.members(mark) == []


async def test_a_stalled_run_may_be_ended(tmp_path: Path) -> None:
    async with world_of(tmp_path, stall_s=0.2, stall="kill") as world:
        job = await world.until(world.post(LONG), State.FAILED)
        assert job.reason_text.startswith("ended by taod: no line of log or status for 0.2 s (supervision.stall)")


async def test_a_configured_exit_is_retried_from_its_checkpoint(tmp_path: Path) -> None:
    script = "[ -e results/ckpt ] || { touch results/ckpt; say RUNNING first 1; exit 75; }; say SUCCESS resumed 2"
    async with world_of(tmp_path, retries=2, retry_exits=[75], backoff_s=0.05) as world:
        job_id = world.post(script)
        job = await world.until(job_id, State.DONE)
        assert (job.attempt, job.retries, job.retry_at, job.reason_text) == (2, 1, None, "resumed")
        assert "Retry 1 of 2 in 0.05 s, after: exit code 75" in notes(world, job_id)
        assert "Retry 1 of 2" in notes(world, job_id)
        assert world.store.leases.all() == []


async def test_retries_are_limited_and_other_exits_are_not_retried(tmp_path: Path) -> None:
    async with world_of(tmp_path, retries=2, retry_exits=["SIGKILL"], backoff_s=0.01) as world:
        killed, other = world.post("kill -KILL $$"), world.post("exit 3")
        job = await world.until(killed, State.FAILED)
        assert (job.attempt, job.retries) == (3, 2) and job.reason_text.startswith("exit code 137")
        assert (await world.until(other, State.FAILED)).attempt == 1


async def test_children_wait_for_the_retries_of_their_parent(tmp_path: Path) -> None:
    async with world_of(tmp_path, retries=1, retry_exits=[75], backoff_s=0.05) as world:
        owner = world.owner()
        train = world.post("[ -e once ] || { touch once; exit 75; }; " + GOOD, owner=owner)
        child = world.post(GOOD, action="evaluate", parent=train, owner=owner)
        await world.until(child, State.DONE)
        assert world.job(train).attempt == 2


async def test_a_retry_survives_the_daemon(tmp_path: Path) -> None:
    script = "[ -e once ] || { touch once; exit 75; }; " + GOOD
    async with world_of(tmp_path, in_memory=False, retries=1, retry_exits=[75], backoff_s=60) as world:
        job_id = world.post(script)
        job = await world.until(job_id, State.HELD)
        assert job.retry_at is not None and world.store.leases.all() == []
    # The clock was set back by years and the backoff shortened: the wait is at most the backoff.
    async with world_of(tmp_path, in_memory=False, retries=1, retry_exits=[75], backoff_s=0.2) as heir:
        assert (await heir.until(job_id, State.DONE)).attempt == 2


async def test_a_job_that_waits_for_its_retry_can_be_cancelled(tmp_path: Path) -> None:
    async with world_of(tmp_path, retries=1, retry_exits=[75], backoff_s=0.1) as world:
        job_id = world.post("exit 75")
        await world.until(job_id, State.HELD)
        await world.scheduler.cancel(job_id)
        other = world.post("[ -e once ] || { touch once; exit 75; }; " + GOOD)
        await world.until(other, State.DONE)
        assert (world.job(job_id).state, world.job(job_id).attempt) == (State.CANCELLED, 1)


async def test_a_memory_limit_is_enforced_and_its_kill_is_named(tmp_path: Path) -> None:
    found = cgroup.available_method()
    if found.unavailable:
        pytest.skip(found.unavailable)
    greedy = f"{sys.executable} -c 'x = bytearray(400 << 20); x[::4096] = b\"1\" * len(x[::4096])'; exit $?"
    async with world_of(tmp_path, memory_bytes=100 * MIB) as world:
        job_id, good = world.post(greedy), world.post(GOOD)
        job = await world.until(job_id, State.FAILED)
        assert job.reason_text.splitlines()[0] == (
            "exit code 137: killed for its memory: more than the 100 MiB of supervision.memory_bytes"
        )
        await world.until(good, State.DONE)
        if found.folder is not None:
            assert not (found.folder / f"{job_id}-1").exists()


async def test_the_history_reports_that_memory_cannot_be_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "available_method", lambda: cgroup.Method(unavailable="there are no control groups"))
    async with world_of(tmp_path, memory_bytes=MIB) as world:
        job_id = world.post(GOOD)
        await world.until(job_id, State.DONE)
        assert notes(world, job_id).count(
            "Without its memory limit (supervision.memory_bytes): there are no control groups"
        ) == 1  # fmt: skip


async def test_a_failure_after_adoption_hides_the_secret(tmp_path: Path) -> None:
    world = World(tmp_path / "root")
    await world.scheduler.start()
    job_id = world.post(LONG.replace("say SUCCESS 'All went well'", f"echo key {SECRET} is bad; exit 4"))
    await world.until_epoch(job_id)
    await world.close()
    async with world_of(tmp_path, in_memory=False) as heir:
        heir.file(job_id, "go").touch()
        job = await heir.until(job_id, State.FAILED)
        assert job.reason_text.endswith("key *** is bad") and SECRET not in job.reason_text
        assert SECRET not in heir.said(job_id)


async def test_the_resource_use_of_a_run_is_published_and_shown(tmp_path: Path) -> None:
    # One child leaves the group and the session; it is found by its environment.
    script = f"setsid {sys.executable} -c 'while True: pass' & " + LONG
    async with world_of(tmp_path) as world:
        job_id = world.post(script)

        async def busy() -> JobUsage:
            async with world.bus.subscribe(None) as stream:
                async for event in stream:
                    if event.type is EventType.USAGE:
                        usage = msgspec.json.decode(event.data, type=JobUsage)
                        if usage.processes >= 3 and (usage.cpu_percent or 0) > 5:
                            return usage
            raise AssertionError

        usage = await asyncio.wait_for(busy(), PATIENCE_S)
        assert usage.job_id == job_id and (usage.rss_bytes or 0) > 5 * MIB
        shown = world.scheduler.usage(job_id)
        assert shown is not None and shown.rss_bytes and shown.gpu_memory_bytes is None
        world.file(job_id, "go").touch()
        await world.until(job_id, State.DONE)
        assert world.scheduler.usage(job_id) is None
        assert processes.members(f"TAOD_RUN={job_id}/1") == []


async def test_a_run_that_forks_and_exits_has_ended_and_its_child_is_killed(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        job_id = world.post("(setsid sleep 60 &) ; sleep 60 & say SUCCESS ok")
        assert (await world.until(job_id, State.DONE)).reason_text == "ok"
        assert processes.members(f"TAOD_RUN={job_id}/1") == []


async def test_a_zombie_of_a_run_does_not_delay_its_end(tmp_path: Path) -> None:
    # A parent that never reaps: its dead child stays in the table while it lives.
    code = 'import os, time; pid = os.fork(); pid or os._exit(0); open("ready", "w").close(); time.sleep(60)'
    async with world_of(tmp_path) as world:
        job_id = world.post(f"say STARTED hello; {sys.executable} -c '{code}' & wait_for ready; say SUCCESS ok")
        assert (await world.until(job_id, State.DONE)).reason_text == "ok"
        assert processes.members(f"TAOD_RUN={job_id}/1") == []


async def test_a_log_is_bounded_and_keeps_its_beginning_and_end(tmp_path: Path) -> None:
    script = (
        "echo first; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i of a log that is too long; done; " + GOOD
    )
    async with world_of(tmp_path, log_bytes=40_000) as world:
        job_id = world.post(script)
        await world.until(job_id, State.DONE)
        text = world.log(job_id)
        assert len(text) < 50_000 and "first" in text and text.endswith("line 3000 of a log that is too long\n")
        assert "bytes of the log were given up here, supervision.log_bytes is 40000" in text


async def test_old_logs_are_deleted_and_recent_ones_kept(tmp_path: Path) -> None:
    async with world_of(tmp_path, in_memory=False) as world:
        old, young = world.post(GOOD), world.post(GOOD)
        await world.until(old, State.DONE)
        await world.until(young, State.DONE)
        world.store.jobs.update(old, ended_at="2020-01-01T00:00:00.000000+00:00")
    async with world_of(tmp_path, in_memory=False, log_keep_days=30) as heir:
        after = heir.post(GOOD)
        await heir.until(after, State.DONE)
        async with asyncio.timeout(PATIENCE_S), FolderWatch(heir.root.job(old).path) as watch:
            while heir.root.job(old).log.exists():
                await watch.changed()
        assert heir.root.job(young).log.exists()


def test_a_log_is_rendered_like_a_terminal() -> None:
    raw = b"Epoch 1:  0%\rEpoch 1: 50%\rEpoch 1: 100%\r\n\x1b[31mred\x1b[0m\x00\nplain\r\n\n90%\r100%"
    assert plain(raw) == b"Epoch 1: 100%\nred\nplain\n\n100%"


async def test_draining_waits_for_runs_and_starts_nothing(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        first, second = world.post(LONG), world.post(GOOD)
        await world.until_epoch(first)
        drained = asyncio.create_task(world.scheduler.drain())
        await asyncio.sleep(0)
        world.file(first, "go").touch()
        await asyncio.wait_for(drained, PATIENCE_S)
        assert (world.job(first).state, world.job(second).state) == (State.DONE, State.QUEUED)


class EndlessSweep:
    """Watch of a sweep whose trials never start."""

    live = None

    def __init__(self, job_id: str) -> None:
        self.job_id, self.ended, self.started, self.left = job_id, asyncio.Event(), False, False

    def begin(self, live: object = None) -> None:
        self.started = True

    async def leave(self) -> None:
        self.left = True


async def test_draining_leaves_a_sweep_to_the_next_daemon(tmp_path: Path) -> None:
    world = World(tmp_path / "root", in_memory=True)
    sweep = world.post(None, state=State.RUNNING)
    watch = EndlessSweep(sweep)
    world.scheduler._supervisor_factory = lambda controls, context, job_id, over: watch if job_id == sweep else None  # type: ignore[arg-type]
    await world.scheduler.start()
    run = world.post(GOOD)
    await world.until(run, State.STARTING, State.RUNNING, State.DONE)
    await asyncio.wait_for(world.scheduler.drain(), PATIENCE_S)
    assert watch.started and world.job(run).state is State.DONE and world.job(sweep).state is State.RUNNING
    await end_all(world)
    assert watch.left


async def test_cancelling_all_ends_running_and_waiting_jobs(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        owner = world.owner()
        first = world.post(LONG, owner=owner)
        second, third = world.post(GOOD), world.post(GOOD, action="evaluate", parent=first, owner=owner)
        await world.until_epoch(first)
        await asyncio.wait_for(world.scheduler.cancel_all(), PATIENCE_S)
        assert [world.job(one).state for one in (first, second, third)] == [State.CANCELLED] * 3
        assert world.job(first).reason_text == "Cancelled by the end of the daemon"
