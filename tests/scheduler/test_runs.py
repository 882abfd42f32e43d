"""Jobs from the queue to their end, with real processes."""

from __future__ import annotations

import asyncio
import sqlite3
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from sched_world import GOOD, LONG, SECRET, World

from store.records import JobRecord, RunRecord
from taod import backoff
from taod.types.device import Device
from taod.types.event import EventType
from taod.types.reason import Reason, ReasonCode
from taod.types.state import State
from tests.patience import PATIENCE_S

WHOLE_WAY = [State.QUEUED, State.LEASED, State.STARTING, State.RUNNING]


async def test_a_job_passes_all_states(world: World) -> None:
    job_id = world.post(GOOD)
    job = await world.until(job_id, State.DONE)
    assert world.states(job_id) == [*WHOLE_WAY, State.DONE]
    assert job.reason_text == world.said(job_id) == "All went well"
    assert (job.attempt, job.runner, job.devices) == (1, "script", ["cpu:0"])
    assert job.started_at and job.ended_at and job.started_at < job.ended_at
    assert world.store.leases.all() == []
    assert world.log(job_id) == f"run {job_id}/1 on [cpu:0]\n"
    run = world.store.runs.latest(job_id)
    assert run is not None and run.exit_code == 0 and run.ended_at and run.identity
    assert run.command[-2:] == ["-k", "***"] and SECRET not in msgspec.json.encode(run).decode()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("say FAILURE 'CUDA out of memory'; exit 1", "CUDA out of memory"),
        ("say FAILURE 'no images'; exit 0", "no images"),
        (
            "say RUNNING working",
            "ended without reporting success: it exited with 0, but its last status was RUNNING (working)",
        ),
        ("say SUCCESS fine; echo boom; exit 3", "exit code 3: after it had reported success"),
        (f"echo key {SECRET} is bad; kill -KILL $$", "exit code 137: killed, out of memory?"),
    ],
)
async def test_a_failed_run_has_a_reason(world: World, script: str, message: str) -> None:
    job_id = world.post(script)
    job = await world.until(job_id, State.FAILED)
    assert job.reason_text.splitlines()[0] == message
    assert world.said(job_id) == job.reason_text
    assert SECRET not in job.reason_text
    assert world.store.leases.all() == []


async def test_the_end_of_the_log_is_part_of_the_reason(world: World) -> None:
    job = await world.until(world.post("echo usage: dino train; exit 2"), State.FAILED)
    assert job.reason_text.splitlines()[-1] == "usage: dino train"


@pytest.mark.parametrize(
    ("script", "action", "message"),
    [
        (None, "train", "its dataset is gone; upload it again"),
        ("", "train", "It could not be prepared: RuntimeError: a mistake of taod's"),
        (
            GOOD,
            "confmat",
            "no runner can do dino confmat here (script: the script runner has no confmat); write one",
        ),
    ],
)
async def test_a_job_that_cannot_be_prepared_fails_and_releases_its_device(
    world: World, script: str | None, action: str, message: str
) -> None:
    bad, good = world.post(script, action=action), world.post(GOOD)
    assert (await world.until(bad, State.FAILED)).reason_text == message == world.said(bad)
    assert world.states(bad) == [State.QUEUED, State.LEASED, State.FAILED]
    await world.until(good, State.DONE)


async def test_a_run_that_cannot_be_started_fails(world: World) -> None:
    job_id = world.post(GOOD)
    world.root.job(job_id).path.mkdir(parents=True)
    world.root.job(job_id).log.mkdir()
    job = await world.until(job_id, State.FAILED)
    assert job.reason_text.startswith("the run could not be started")
    assert world.store.leases.all() == []


async def test_a_run_folder_newer_than_the_record_is_skipped(world: World) -> None:
    job_id = world.post(GOOD)
    world.root.job(job_id).run(1).path.mkdir(parents=True)
    world.root.job(job_id).run(1).claim.touch()
    assert (await world.until(job_id, State.DONE)).attempt == 2


async def test_a_device_runs_jobs_one_at_a_time_in_order(world: World) -> None:
    jobs = [world.post(GOOD) for _ in range(3)]
    ended = await world.settled(jobs)
    assert [job.state for job in ended] == [State.DONE] * 3
    for before, after in pairwise(ended):
        assert before.ended_at and after.started_at and before.ended_at < after.started_at


async def test_a_wait_reason_names_the_holder_of_the_device(world: World) -> None:
    owner = world.owner()
    first = world.post(LONG, owner=owner)
    second = world.post(GOOD, owner=owner)
    await world.until_epoch(first)
    assert world.job(second).reason_text == f"waits for a device: 1 of 1 leased by job {first[:8]} (train)"
    world.file(first, "go").touch()
    await world.until(second, State.DONE)


async def test_a_chain_runs_in_order(world: World) -> None:
    owner = world.owner()
    train = world.post(LONG, owner=owner)
    evaluate = world.post(GOOD, action="evaluate", parent=train, owner=owner)
    await world.until_epoch(train)
    assert world.job(evaluate).reason_text == f"waits for its parent train {train[:8]}"
    world.file(train, "go").touch()
    await world.until(evaluate, State.DONE)
    assert world.states(evaluate) == [State.WAITING, *WHOLE_WAY, State.DONE]


async def test_children_of_a_failed_job_fail(world: World) -> None:
    owner = world.owner()
    train = world.post("exit 1", owner=owner)
    export = world.post(GOOD, action="export", parent=train, owner=owner)
    infer = world.post(GOOD, action="inference", parent=export, owner=owner)
    await world.until(infer, State.FAILED)
    assert world.said(export) == f"Failed because its parent train {train[:8]} failed"
    assert world.said(infer) == f"Failed because its parent export {export[:8]} failed"


async def test_a_job_waits_for_missing_data(world: World) -> None:
    job_id = world.post(GOOD, state=State.WAITING)
    world.planner.missing[job_id] = Reason(ReasonCode.DATA_UPLOADING, {"role": "train", "dataset": "digits"})
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.job(job_id).reason_text == "waits: its train dataset 'digits' is still being uploaded"
    del world.planner.missing[job_id]
    world.scheduler.wake()
    await world.until(job_id, State.DONE)


async def test_a_job_that_requests_too_many_devices_fails_at_once(world: World) -> None:
    job = await world.until(world.post(GOOD, devices_wanted=3), State.FAILED)
    assert job.reason_text == "It can never run: it asks for 3 devices and taod has 1 CPU slot; ask for 1 at most"


async def test_several_slots_run_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, slots=3, in_memory=True)
    await world.scheduler.start()
    jobs = [world.post(LONG, devices_wanted=wanted) for wanted in (2, 1)]
    for job_id in jobs:
        await world.until_epoch(job_id)
    assert [world.job(job_id).devices for job_id in jobs] == [["cpu:0", "cpu:1"], ["cpu:2"]]
    for job_id in jobs:
        world.file(job_id, "go").touch()
        await world.until(job_id, State.DONE)
    await world.close()


async def test_events_report_every_state_and_every_change_of_leases(world: World) -> None:
    async with world.bus.subscribe(None) as stream:
        job_id = world.post(GOOD)
        states, leases = [], []
        async for event in stream:
            if event.type is EventType.JOB:
                state = msgspec.json.decode(event.data)["state"]
                states += [state] if state not in states else []
            elif event.type is EventType.DEVICES:
                (device,) = msgspec.json.decode(event.data, type=list[Device])
                holders = [lease.job_id for lease in device.leases]
                leases += [holders] if not leases or leases[-1] != holders else []
                if "done" in states and not holders:
                    break
        assert states == ["leased", "starting", "running", "done"]
        assert leases[-2:] == [[job_id], []]


async def test_devices_are_read_while_a_client_listens(world: World) -> None:
    async with world.bus.subscribe(None) as stream:

        async def figures() -> Device:
            async for event in stream:
                if event.type is EventType.DEVICES:
                    (device,) = msgspec.json.decode(event.data, type=list[Device])
                    if device.memory_used_bytes:
                        return device
            raise AssertionError

        assert (await asyncio.wait_for(figures(), PATIENCE_S)).utilisation_percent is not None


async def test_recording_an_end_is_retried(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)
    update, failures = world.store.runs.update, []

    def full_disk(job_id: str, attempt: int, **fields: object) -> RunRecord:
        if "exit_code" in fields and len(failures) < 3:
            failures.append(job_id)
            raise sqlite3.OperationalError("database or disk is full")
        return update(job_id, attempt, **fields)

    monkeypatch.setattr(world.store.runs, "update", full_disk)
    job_id = world.post(GOOD)
    assert (await world.until(job_id, State.DONE)).reason_text == "All went well"
    assert len(failures) == 3 and world.states(job_id) == [*WHOLE_WAY, State.DONE]


async def test_a_start_that_cannot_be_recorded_keeps_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    update = world.store.runs.update

    def full_disk(job_id: str, attempt: int, **fields: object) -> RunRecord:
        if "identity" in fields:
            raise sqlite3.OperationalError("database or disk is full")
        return update(job_id, attempt, **fields)

    monkeypatch.setattr(world.store.runs, "update", full_disk)
    job_id = world.post(GOOD)
    await world.until(job_id, State.DONE)
    assert world.log(job_id).count("run ") == 1


async def test_one_decision_that_fails_does_not_stop_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job: JobRecord) -> str | None:
        raise RuntimeError("disk error")

    monkeypatch.setattr(world.planner, "unready", broken)
    waiting, good = world.post(GOOD, state=State.WAITING), world.post(GOOD)
    await world.until(good, State.DONE)
    assert world.job(waiting).reason_text == "waits: the state of its data cannot be read (disk error)"
    monkeypatch.undo()
    world.scheduler.wake()
    await world.until(waiting, State.DONE)
