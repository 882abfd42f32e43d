"""The events of jobs that are notified: each once, in the transaction that records it, also over restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nvml_scenario import Scenario, gpu
from sched_world import GOOD, LONG, World, end_all

from taod.config import DevicesConfig, NotifyConfig, NotifyTargetConfig, SupervisionConfig
from taod.scheduler.supervision import limit_monitor
from taod.types.reason import Reason, ReasonCode
from taod.types.state import State
from taod.types.warning import WarningCode
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow(seconds=1)

ALL = NotifyConfig(target=[NotifyTargetConfig("all", command=["true"]), NotifyTargetConfig("too", command=["true"])])


@asynccontextmanager
async def world_of(tmp_path: Path, **options: Any) -> AsyncIterator[World]:
    world = World(tmp_path / "root", grace_s=0.3, notify=options.pop("notify", ALL), **options)
    await world.scheduler.start()
    try:
        yield world
    finally:
        await end_all(world)


def events(world: World, job_id: str | None = None) -> list[str]:
    """The events of the outbox, each with two deliveries."""
    rows = world.store._database.rows("SELECT id, event, job_id FROM notifications ORDER BY rowid")
    for notification_id, *_ in rows:
        count = "SELECT count(*) FROM deliveries WHERE notification_id = ?"
        assert world.store._database.number(count, [notification_id]) == 2
    return [event for _, event, of in rows if job_id in (None, of)]


async def test_ends_of_jobs_are_notified_and_not_those_that_follow_from_others(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        owner = world.owner()
        good = world.post(GOOD, owner=owner)
        bad = world.post("say FAILURE 'out of memory'; exit 1", owner=owner)
        child = world.post(GOOD, parent=bad, action="evaluate", owner=owner)
        unstarted = world.post(None, owner=owner)
        cancelled = world.post(GOOD, owner=owner)
        await world.scheduler.cancel(cancelled)
        await world.settled([good, bad, child, unstarted, cancelled])
        assert world.job(child).state is State.FAILED
        found = {job: events(world, job) for job in (good, bad, child, unstarted, cancelled)}
        assert found == {good: ["done"], bad: ["failed"], child: [], unstarted: ["failed"], cancelled: []}


async def test_an_end_and_its_notification_are_written_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world_of(tmp_path) as world:
        insert, failures = world.store._database.insert, [TimeoutError("locked"), TimeoutError("locked")]

        def failing(table: str, values: Any) -> None:
            if table == "deliveries" and failures:
                assert world.job(job_id).state is State.DONE, "within the transaction"
                raise failures.pop()
            insert(table, values)

        monkeypatch.setattr(world.store._database, "insert", failing)
        job_id = world.post(GOOD)
        await world.until(job_id, State.DONE)
        assert failures == [] and events(world) == ["done"]
        assert world.states(job_id).count(State.DONE) == 1


async def test_a_retried_failure_is_not_notified(tmp_path: Path) -> None:
    script = "[ -e once ] || { touch once; exit 75; }; " + GOOD
    limits = SupervisionConfig(retries=1, retry_exits=[75], backoff_s=0.05)
    async with world_of(tmp_path, supervision=limits) as world:
        await world.until(world.post(script), State.DONE)
        assert events(world) == ["done"]


async def test_a_stall_is_notified_once_by_two_daemons_and_again_after_the_next_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "say STARTED hi; touch ready; wait_for go; echo a line; wait_for on; say SUCCESS ok"
    limits = SupervisionConfig(stall_s=0.3)
    world = World(tmp_path / "root", notify=ALL, supervision=limits)
    await world.scheduler.start()
    job_id = world.post(script)
    await _until_stalled(world, job_id)
    await world.close()
    async with world_of(tmp_path, supervision=limits) as heir:
        assert events(heir) == ["stalled"]
        await _silence(heir, monkeypatch)
        assert events(heir) == ["stalled"]
        heir.file(job_id, "go").touch()
        await _until_notes(heir, job_id, ReasonCode.REPORTS_AGAIN)
        await _until_stalled(heir, job_id)
        assert events(heir) == ["stalled", "stalled"]
        heir.file(job_id, "on").touch()
        await heir.until(job_id, State.DONE)


async def test_a_stalled_run_is_ended_by_the_next_daemon_too(tmp_path: Path) -> None:
    world = World(tmp_path / "root", notify=ALL, supervision=SupervisionConfig(stall_s=0.2))
    await world.scheduler.start()
    job_id = world.post(LONG)
    await _until_stalled(world, job_id)
    await world.close()
    async with world_of(tmp_path, supervision=SupervisionConfig(stall_s=0.2, stall="kill")) as heir:
        job = await heir.until(job_id, State.FAILED)
        assert job.reason_code is ReasonCode.STALLED
        assert events(heir) == ["stalled", "failed"]


async def test_a_new_attempt_has_no_stall_of_the_last_one(tmp_path: Path) -> None:
    limits = SupervisionConfig(stall_s=0.2, stall="kill", retries=1, retry_exits=["stall"], backoff_s=0.05)
    async with world_of(tmp_path, supervision=limits) as world:
        job = await world.until(world.post("[ -e once ] || { touch once; " + LONG + "; }; " + GOOD), State.DONE)
        assert job.attempt == 2 and job.warnings == []
        assert events(world) == ["stalled", "done"]


async def test_a_lost_gpu_is_notified_once_for_each_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario(tmp_path, gpu(0), gpu(1))
    scenario.use(monkeypatch)
    again = SupervisionConfig(retries=1, retry_exits=["lost"], backoff_s=0.05)
    async with world_of(tmp_path, supervision=again, devices=DevicesConfig(telemetry_s=0.02)) as world:
        job_id = world.post(LONG)
        await world.until_epoch(job_id)
        scenario.set("GPU-0", lost=True)
        await world.until(job_id, State.HELD)
        # As a daemon does that re-adopts the run before it has ended.
        lost = Reason(ReasonCode.DEVICE_LOST, {"devices": [{"name": "GPU 0", "id": "GPU-0"}]})
        with world.store.transaction():
            world.outbox.device_lost(world.job(job_id), lost)
        world.file(job_id, "go").touch()
        await world.until(job_id, State.DONE)
        assert events(world) == ["device_lost", "done"]


async def test_a_gpu_that_is_lost_when_its_run_ends_is_notified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = Scenario(tmp_path, gpu(0))
    scenario.use(monkeypatch)
    async with world_of(tmp_path, devices=DevicesConfig(telemetry_s=60)) as world:
        job_id = world.post(LONG + "; exit 1")
        await world.until_epoch(job_id)
        scenario.set("GPU-0", lost=True)
        world.file(job_id, "go").touch()
        await world.until(job_id, State.FAILED)
        assert events(world) == ["device_lost", "failed"]


async def test_a_target_of_one_user_gets_nothing_of_others(tmp_path: Path) -> None:
    target = NotifyTargetConfig("ada", command=["true"], users=["ada"])
    async with world_of(tmp_path, notify=NotifyConfig(target=[target])) as world:
        await world.until(world.post(GOOD), State.DONE)
        assert world.store.notifications.next("ada") is None


async def _until_stalled(world: World, job_id: str) -> None:
    async with world.bus.subscribe(None) as stream:
        while not any(one.code is WarningCode.STALLED for one in world.job(job_id).warnings):
            await anext(stream)


async def _until_notes(world: World, job_id: str, code: ReasonCode) -> None:
    async with world.bus.subscribe(None) as stream:
        while code not in [entry.reason.code for entry in world.store.jobs.history(job_id)]:
            await anext(stream)


async def _silence(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait until the monitor has seen its whole time of silence."""
    asks, asked = limit_monitor._stopped, asyncio.Event()

    async def stopped(live: Any) -> list[int]:
        asked.set()
        return await asks(live)

    monkeypatch.setattr(limit_monitor, "_stopped", stopped)
    await asyncio.wait_for(asked.wait(), PATIENCE_S)
