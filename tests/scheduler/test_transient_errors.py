"""Transient errors between queue and process are retried without a new request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sched_world import GOOD, LONG, ScriptRunner, World, end_all

from runners.protocol import Claim, RunIdentity, RunRequest
from taod import backoff
from taod.config import SupervisionConfig
from taod.errors import StoreLost
from taod.scheduler import scheduler as passes
from taod.scheduler.supervision import limit_monitor, supervisor
from taod.types.state import State
from tests.patience import PATIENCE_S


def once(error: Exception, work: Any) -> Any:
    """`work`, which raises `error` at the first call."""
    failed = False

    def call(*given: Any, **named: Any) -> Any:
        nonlocal failed
        if not failed:
            failed = True
            raise error
        return work(*given, **named)

    return call


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)


async def test_a_failed_scheduling_pass_is_retried(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.until(world.post(GOOD), State.DONE)  # The first reading of the devices has started its own pass.
    monkeypatch.setattr(passes, "decide", once(OSError("disk I/O error"), passes.decide))
    await world.until(world.post(GOOD), State.DONE)


async def test_recording_a_lease_is_retried(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.until(world.post(GOOD), State.DONE)
    monkeypatch.setattr(world.store.jobs, "lease", once(OSError("database or disk is full"), world.store.jobs.lease))
    await world.until(world.post(GOOD), State.DONE)


async def test_a_job_whose_promotion_is_not_recorded_is_not_leased(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass promotes a waiting job and leases it. The database was away for the first of the two writes only."""
    await world.until(world.post(GOOD), State.DONE)
    lost = StoreLost("the database is lost")
    monkeypatch.setattr(world.store.jobs, "transition", once(lost, world.store.jobs.transition))
    job_id = world.post(GOOD, state=State.WAITING)
    await world.until(job_id, State.DONE)
    assert world.states(job_id)[:3] == [State.WAITING, State.QUEUED, State.LEASED]


async def test_recording_a_reason_is_retried(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = world.post(LONG)
    await world.until(holder, State.RUNNING)
    monkeypatch.setattr(world.store.jobs, "explain", once(OSError("disk is full"), world.store.jobs.explain))
    waiting = world.post(GOOD)

    async def explained() -> None:
        async with world.bus.subscribe(None) as stream:
            while "1 of 1 leased" not in world.job(waiting).reason_text:
                await anext(stream)

    await asyncio.wait_for(explained(), PATIENCE_S)


async def test_recording_a_start_is_retried(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.store.runs, "add", once(OSError("database or disk is full"), world.store.runs.add))
    job_id = world.post(GOOD)
    job = await world.until(job_id, State.DONE)
    assert world.states(job_id)[:4] == [State.QUEUED, State.LEASED, State.QUEUED, State.LEASED]
    assert job.attempt == 1 and world.store.leases.all() == []


async def test_finalizing_is_retried(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "finalize", once(OSError("too many open files"), supervisor.finalize))
    job = await world.until(world.post(GOOD), State.DONE)
    assert job.attempt == 1 and world.store.leases.all() == []


class BadStart(ScriptRunner):
    """Has no file descriptor left for the first start."""

    starts = 0

    async def start(self, request: RunRequest) -> RunIdentity:
        self.starts += 1
        if self.starts == 1:
            raise OSError(24, "Too many open files")
        return await super().start(request)


async def test_a_start_with_an_error_fails_its_job_and_releases_the_device(tmp_path: Path) -> None:
    world = World(tmp_path / "root", in_memory=True, runner=BadStart())
    await world.scheduler.start()
    first, second = world.post(GOOD), world.post(GOOD)
    job = await world.until(first, State.FAILED)
    assert "Too many open files" in job.reason_text
    await world.until(second, State.DONE)
    await end_all(world)


class SlowStart(ScriptRunner):
    """A runner whose start takes as long as an image's download, and may be cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.downloading = asyncio.Event()
        self.left = False

    async def start(self, request: RunRequest) -> RunIdentity:
        self.downloading.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.left = True
            raise
        raise AssertionError("unreachable")


def slow(monkeypatch: pytest.MonkeyPatch) -> SlowStart:
    """Not one of the runners that start within milliseconds."""
    from taod.scheduler.supervision import launch

    monkeypatch.setattr(launch, "QUICK", ())
    return SlowStart()


@pytest.mark.parametrize(
    ("asked", "state", "words"),
    [("cancel", State.CANCELLED, "Cancelled by user"), ("pause", State.PAUSED, "Paused before its first epoch")],
)
async def test_a_slow_start_is_stopped_by_a_cancel_or_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, state: State, words: str
) -> None:
    runner = slow(monkeypatch)
    world = World(tmp_path / "root", in_memory=True, runner=runner)
    await world.scheduler.start()
    job_id = world.post(GOOD)
    await asyncio.wait_for(runner.downloading.wait(), PATIENCE_S)
    await getattr(world.scheduler, asked)(job_id)
    job = await world.until(job_id, state)
    assert job.reason_text == words and runner.left and world.store.leases.all() == []
    request = RunRequest(job_id, 1, None, str(world.root.job(job_id).path))  # type: ignore[arg-type]
    assert request.run_folder.claim.exists(), "the claim prevents any further start of this attempt"
    assert await runner.recover(request) == (Claim.NEVER, None)
    await end_all(world)


async def test_adoption_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = World(tmp_path / "root")
    await before.scheduler.start()
    job_id = before.post(LONG)
    await before.until_epoch(job_id)
    await before.close()
    monkeypatch.setattr(passes, "adopt", once(OSError("database is locked"), passes.adopt))
    world = World(tmp_path / "root")
    await world.scheduler.start()
    world.file(job_id, "go").touch()
    job = await world.until(job_id, State.DONE)
    assert (job.attempt, job.reason_text, world.store.leases.all()) == (1, "All went well", [])
    await end_all(world)


async def test_reading_due_retries_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervision = SupervisionConfig(retries=1, retry_exits=[7], backoff_s=0.01)
    world = World(tmp_path / "root", in_memory=True, supervision=supervision)
    await world.scheduler.start()
    to_retry = once(OSError("disk I/O error"), world.store.jobs.to_retry)
    monkeypatch.setattr(world.store.jobs, "to_retry", to_retry)
    job_id = world.post("[ -e again ] || { touch again; exit 7; }; say SUCCESS 'All went well'")
    job = await world.until(job_id, State.DONE)
    assert job.attempt == 2
    await end_all(world)


async def test_limit_monitoring_continues_after_a_failed_reading_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_monitor, "_signs", once(OSError("the folder is gone"), limit_monitor._signs))
    supervision = SupervisionConfig(wall_s=0.3, stall_s=60)
    world = World(tmp_path / "root", in_memory=True, supervision=supervision)
    await world.scheduler.start()
    job = await world.until(world.post(LONG), State.FAILED)
    assert job.reason_text.startswith("ended by taod: its time limit of 0.3 s was over")
    await end_all(world)
