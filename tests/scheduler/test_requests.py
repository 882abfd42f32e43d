"""Cancel, pause and resume, in every state that accepts them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sched_world import GOOD, LONG, OBEDIENT, World, end_all

from runners import processes
from taod.errors import BadRequest, NotFound
from taod.types.reason import Reason, ReasonCode
from taod.types.state import State
from taod.types.warning_text import text
from tests.patience import PATIENCE_S

STUBBORN = "trap '' TERM; " + LONG


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[World]:
    """A world with a short grace period."""
    world = World(tmp_path / "root", in_memory=True, grace_s=0.2)
    await world.scheduler.start()
    yield world
    await end_all(world)


async def test_cancel_requests_the_end_of_a_run(world: World) -> None:
    job_id = world.post(OBEDIENT)
    await world.until_epoch(job_id)
    assert (await world.scheduler.cancel(job_id)).state is State.STOPPING
    job = await world.until(job_id, State.CANCELLED)
    assert job.reason_text == world.said(job_id) == "Cancelled by user"
    assert job.stop_intent is None
    assert world.log(job_id).splitlines()[-1] == "saved"
    run = world.store.runs.latest(job_id)
    assert run is not None and run.exit_code == 143


async def test_a_run_that_ignores_sigterm_is_killed_after_the_grace(hasty: World) -> None:
    job_id = hasty.post(STUBBORN)
    await hasty.until_epoch(job_id)
    await hasty.scheduler.cancel(job_id)
    await hasty.until(job_id, State.CANCELLED)
    run = hasty.store.runs.latest(job_id)
    assert run is not None and run.exit_code == 137


async def test_no_process_of_a_cancelled_run_remains(hasty: World) -> None:
    job_id = hasty.post("setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & " + STUBBORN)
    await hasty.until_epoch(job_id)
    await hasty.scheduler.cancel(job_id)
    await hasty.until(job_id, State.CANCELLED)
    assert processes.members(f"TAOD_RUN={job_id}/1") == []


@pytest.mark.parametrize("state", [State.QUEUED, State.WAITING, State.HELD])
async def test_cancel_of_a_waiting_job_cancels_it_and_its_children_at_once(world: World, state: State) -> None:
    owner = world.owner()
    if state is State.QUEUED:
        # Recorded as running before the test continues: a process that is being started could outlive the test.
        await world.until(world.post(LONG), State.RUNNING)
    train = world.post(GOOD, owner=owner, state=state)
    if state is State.WAITING:
        world.planner.missing[train] = Reason(ReasonCode.DATA_MISSING, {"role": "train", "dataset": "x"})
    evaluate = world.post(GOOD, action="evaluate", parent=train, owner=owner)
    export = world.post(GOOD, action="export", parent=train, owner=owner, state=State.HELD)
    engine = world.post(GOOD, action="gen_trt_engine", parent=export, owner=owner)
    job = await world.scheduler.cancel(train)
    assert job.state is State.CANCELLED and world.said(train) == "Cancelled by user"
    for child, parent in (
        (evaluate, f"train {train[:8]}"),
        (export, f"train {train[:8]}"),
        (engine, f"export {export[:8]}"),
    ):
        assert world.job(child).state is State.CANCELLED
        assert world.said(child) == f"Cancelled because its parent {parent} was cancelled"


async def test_cancel_of_a_run_cancels_its_children(world: World) -> None:
    owner = world.owner()
    train = world.post(OBEDIENT, owner=owner)
    evaluate = world.post(GOOD, action="evaluate", parent=train, owner=owner)
    await world.until_epoch(train)
    await world.scheduler.cancel(train)
    await world.until(evaluate, State.CANCELLED)
    assert world.said(evaluate) == f"Cancelled because its parent train {train[:8]} was cancelled"


async def test_cancel_of_a_leased_job_starts_nothing(world: World) -> None:
    job_id = world.post(GOOD)
    await asyncio.sleep(0)  # one turn of the loop: the pass has ended, and the start is next
    assert world.job(job_id).state is State.LEASED
    await world.scheduler.cancel(job_id)
    job = await world.until(job_id, State.CANCELLED)
    assert job.attempt == 0
    assert world.store.leases.all() == []


async def test_cancel_during_a_start_is_not_lost(hasty: World) -> None:
    for _ in range(5):
        job_id = hasty.post("sleep 100")
        await hasty.until(job_id, State.STARTING)
        await hasty.scheduler.cancel(job_id)
        await hasty.until(job_id, State.CANCELLED)
        assert processes.members(f"TAOD_RUN={job_id}/1") == []


async def test_a_repeated_cancel_changes_nothing_and_ended_jobs_reject_it(hasty: World) -> None:
    job_id = hasty.post(STUBBORN)
    await hasty.until_epoch(job_id)
    await hasty.scheduler.cancel(job_id)
    assert (await hasty.scheduler.cancel(job_id)).state is State.STOPPING
    await hasty.until(job_id, State.CANCELLED)
    for ask in (hasty.scheduler.cancel, hasty.scheduler.pause):
        with pytest.raises(NotFound, match="it is Error already"):
            await ask(job_id)
        with pytest.raises(NotFound, match="there is no job"):
            await ask("missing")


async def test_pause_and_resume_keep_the_id(world: World) -> None:
    owner = world.owner()
    job_id = world.post(OBEDIENT, owner=owner)
    child = world.post(GOOD, action="evaluate", parent=job_id, owner=owner)
    await world.until_epoch(job_id)
    assert (await world.scheduler.pause(job_id)).stop_intent == "pause"
    job = await world.until(job_id, State.PAUSED)
    assert job.reason_text == world.said(job_id) == "Paused at epoch 3"
    assert world.store.leases.all() == []
    await asyncio.sleep(0)
    assert world.job(child).reason_text == f"waits for its parent train {job_id[:8]} (paused)"

    world.file(job_id, "go").touch()
    assert world.scheduler.resume(job_id).state is State.QUEUED
    assert world.job(job_id).reason_text == world.said(job_id) == "Resumed"
    job = await world.until(job_id, State.DONE)
    assert job.attempt == 2
    assert [line for line in world.log(job_id).splitlines() if line.startswith("run")] == [
        f"run {job_id}/1 on [cpu:0]",
        f"run {job_id}/2 on [cpu:0]",
    ]
    await world.until(child, State.DONE)


async def test_a_run_that_succeeds_before_its_pause_is_done(world: World) -> None:
    job_id = world.post("trap 'say SUCCESS finished; exit 0' TERM; " + LONG)
    await world.until_epoch(job_id)
    await world.scheduler.pause(job_id)
    assert (await world.until(job_id, State.DONE)).reason_text == "finished"


async def test_pause_of_a_run_other_than_train_is_a_cancel(world: World) -> None:
    evaluate = world.post(OBEDIENT, action="evaluate")
    queued = world.post(GOOD)
    await world.until_epoch(evaluate)
    for job_id in (queued, evaluate):
        await world.scheduler.pause(job_id)
        await world.until(job_id, State.CANCELLED)


async def test_a_cancel_overrides_a_pause_and_a_paused_job_can_be_cancelled(hasty: World) -> None:
    job_id = hasty.post(STUBBORN)
    await hasty.until_epoch(job_id)
    await hasty.scheduler.pause(job_id)
    assert (await hasty.scheduler.cancel(job_id)).stop_intent == "cancel"
    assert (await hasty.scheduler.pause(job_id)).stop_intent == "cancel"
    await hasty.until(job_id, State.CANCELLED)

    other = hasty.post(STUBBORN)
    await hasty.until_epoch(other)
    await hasty.scheduler.pause(other)
    await hasty.until(other, State.PAUSED)
    assert (await hasty.scheduler.cancel(other)).state is State.CANCELLED


@pytest.mark.parametrize("script", ["say RUNNING x 2; exit 1", OBEDIENT], ids=["failed", "cancelled"])
async def test_a_failed_and_a_cancelled_train_can_be_resumed(world: World, script: str) -> None:
    owner = world.owner()
    job_id = world.post(f"[ -e again ] || {{ touch again; {script}; }}; {GOOD}", owner=owner)
    child = world.post(GOOD, action="evaluate", parent=job_id, owner=owner)
    if script == OBEDIENT:
        await world.until_epoch(job_id)
        await world.scheduler.cancel(job_id)
    await world.until(job_id, State.FAILED, State.CANCELLED)
    await world.until(child, State.FAILED, State.CANCELLED)
    before = world.job(child).state
    world.scheduler.resume(job_id)
    await world.until(job_id, State.DONE)
    assert world.job(child).state is before


async def test_an_incomplete_checkpoint_is_moved_away_before_a_resume_and_reported(world: World) -> None:
    script = (
        "[ -e again ] || { touch again; echo weights >results/dino_model_epoch=000.pth; "
        ": >results/dino_model_epoch=001.pth; exit 1; }; ls results; " + GOOD
    )
    job_id = world.post(script)
    await world.until(job_id, State.FAILED)
    world.scheduler.resume(job_id)
    job = await world.until(job_id, State.DONE)
    expected = (
        "Incomplete checkpoint set aside: dino_model_epoch=001.pth is empty; resumes from dino_model_epoch=000.pth"
    )
    assert [text(warning) for warning in job.warnings] == [expected]
    assert expected in [entry.reason_text for entry in world.store.jobs.history(job_id)]
    assert "dino_model_epoch=001.pth.incomplete" in world.log(job_id)


async def test_a_job_without_incomplete_checkpoints_gets_no_warning_of_them(world: World) -> None:
    job_id = world.post(
        "[ -e again ] || { touch again; echo weights >results/dino_model_epoch=000.pth; exit 1; }; " + GOOD
    )
    await world.until(job_id, State.FAILED)
    world.scheduler.resume(job_id)
    assert (await world.until(job_id, State.DONE)).warnings == []


async def test_an_earlier_success_does_not_end_a_later_attempt(world: World) -> None:
    job_id = world.post("[ -e again ] || { touch again; say SUCCESS early; exit 1; }; exit 0")
    await world.until(job_id, State.FAILED)
    world.scheduler.resume(job_id)
    await world.until(job_id, State.QUEUED, State.LEASED, State.STARTING, State.RUNNING)
    job = await world.until(job_id, State.DONE, State.FAILED)
    assert job.reason_text.startswith("ended without reporting success")


async def test_an_earlier_error_in_the_log_does_not_explain_a_later_attempt(world: World) -> None:
    """A log holds all attempts; a killed process writes nothing into it."""
    job_id = world.post("[ -e again ] || { touch again; echo 'ValueError: the first'; exit 1; }; kill -9 $$")
    assert (await world.until(job_id, State.FAILED)).reason_text == "exit code 1: ValueError: the first"
    world.scheduler.resume(job_id)
    await world.until(job_id, State.QUEUED, State.LEASED, State.STARTING, State.RUNNING)
    assert "ValueError" not in (await world.until(job_id, State.FAILED)).reason_text


async def test_a_resume_that_is_impossible_is_rejected_with_the_reason(hasty: World) -> None:
    evaluate = hasty.post("exit 1", action="evaluate")
    await hasty.until(evaluate, State.FAILED)
    with pytest.raises(BadRequest, match=r"^Action not train: evaluate .* cannot be resumed"):
        hasty.scheduler.resume(evaluate)
    done = hasty.post(GOOD)
    await hasty.until(done, State.DONE)
    with pytest.raises(BadRequest, match="is done; only a paused, cancelled or failed train"):
        hasty.scheduler.resume(done)
    running = hasty.post(STUBBORN)
    await hasty.until_epoch(running)
    with pytest.raises(BadRequest, match="is running"):
        hasty.scheduler.resume(running)
    await hasty.scheduler.pause(running)
    with pytest.raises(BadRequest, match="still stopping"):
        hasty.scheduler.resume(running)
    with pytest.raises(NotFound):
        hasty.scheduler.resume("missing")


async def test_a_resumed_retrain_waits_for_its_parent_or_is_rejected(world: World) -> None:
    owner = world.owner()
    train = world.post("[ -e again ] || { touch again; exit 1; }; " + LONG, owner=owner)
    retrain = world.post(GOOD, action="retrain", parent=train, owner=owner)
    await world.until(retrain, State.FAILED)
    with pytest.raises(BadRequest, match=f"its parent train {train[:8]} is failed"):
        world.scheduler.resume(retrain)
    world.scheduler.resume(train)
    assert world.scheduler.resume(retrain).state is State.WAITING
    await world.until_epoch(train)
    world.file(train, "go").touch()
    await world.until(retrain, State.DONE)


async def test_cancel_of_an_owners_jobs_returns_when_none_runs(world: World) -> None:
    owner = world.owner()
    train = world.post(OBEDIENT, owner=owner)
    child = world.post(GOOD, action="evaluate", parent=train, owner=owner)
    other = world.post(GOOD)
    await world.until_epoch(train)
    await asyncio.wait_for(world.scheduler.cancel_owner("model", owner[1]), PATIENCE_S)
    assert world.job(train).state is world.job(child).state is State.CANCELLED
    assert world.said(train) == "Cancelled by the deletion of its model"
    await world.until(other, State.DONE)


async def test_a_wrapper_killed_from_outside_fails_the_job_and_leaves_no_process(world: World) -> None:
    job_id = world.post(LONG)
    await world.until_epoch(job_id)
    pid = int(world.root.job(job_id).run(1).pid.read_text().split()[0])
    os.kill(pid, 9)
    job = await world.until(job_id, State.FAILED)
    assert "its exit code is not known" in job.reason_text
    assert processes.members(f"TAOD_RUN={job_id}/1") == []
    assert world.store.leases.all() == []
