"""A sweep that a user ends early: open trials are cancelled, the best so far becomes its model."""

from __future__ import annotations

import asyncio

import pytest

from taod.errors import BadRequest
from taod.types.reason_text import text
from taod.types.state import State
from tests.patience import PATIENCE_S

MANY = {"automl_algorithm": "Random", "automl_max_recommendations": 50}


async def ended(world, job_id, count) -> None:
    await world.when(lambda: sum(trial.outcome == "done" for trial in world.trials(job_id)) >= count)


async def test_it_ends_with_the_best_so_far_and_cancels_open_trials(make_world, tmp_path) -> None:
    gate = tmp_path / "gate"
    world = await make_world(slots=2, gate=str(gate))
    job_id = world.post(**MANY)
    await ended(world, job_id, 3)
    gate.touch()
    await world.when(lambda: sum(j.state is State.RUNNING for j in world.store.jobs.trials_of(job_id)) == 2)
    job = await world.scheduler.finish(job_id)
    assert (job.state, job.reason_text) == (State.STOPPING, "Stopped early: ends with its best trial")
    job = await world.over(job_id)
    assert job.state is State.DONE, job.reason_text
    assert "stopped early by user" in job.reason_text
    trials = world.trials(job_id)
    done = {trial.number: trial.scores["2"] for trial in trials if trial.outcome == "done"}
    assert len(done) >= 3
    open_then = [trial for trial in trials if trial.number not in done]
    assert open_then
    assert {(trial.outcome, text(trial.reason)) for trial in open_then} == {
        ("pruned", "pruned: the sweep was stopped early")
    }
    winner = min(done, key=lambda number: done[number])
    assert job.metric_value == done[winner]
    assert list(world.root.job(job_id).results.glob("best_model/*.pth"))
    assert all(each.state.ended for each in world.store.jobs.trials_of(job_id))


async def test_the_next_daemon_completes_an_early_end(make_world, tmp_path) -> None:
    gate = tmp_path / "gate"
    world = await make_world(slots=1, gate=str(gate))
    job_id = world.post(**MANY)
    await ended(world, job_id, 1)
    gate.touch()
    await world.when(lambda: any(j.state is State.RUNNING for j in world.store.jobs.trials_of(job_id)))
    job = world.scheduler._commands.finish(job_id)  # Recorded; the daemon dies before it acts on it.
    assert job.stop_intent == "finish"
    await world.close()
    world = await make_world(slots=1, gate=str(gate))
    job = await world.over(job_id)
    assert (job.state, "stopped early" in job.reason_text) == (State.DONE, True), job.reason_text


async def test_a_cancel_overrides_an_early_end(make_world, tmp_path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    world = await make_world(slots=1, gate=str(gate))
    job_id = world.post(**MANY)
    await world.when(lambda: any(j.state is State.RUNNING for j in world.store.jobs.trials_of(job_id)))
    await world.scheduler.finish(job_id)
    await world.scheduler.cancel(job_id)
    assert (await world.over(job_id)).state is State.CANCELLED


async def test_without_a_value_it_fails_and_only_running_sweeps_are_accepted(make_world, tmp_path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    world = await make_world(slots=1, gate=str(gate))
    job_id = world.post(**MANY)
    await world.when(lambda: any(j.state is State.RUNNING for j in world.store.jobs.trials_of(job_id)))
    await asyncio.wait_for(world.scheduler.finish(job_id), PATIENCE_S)
    job = await world.over(job_id)
    assert (job.state, job.reason_text) == (State.FAILED, "Stopped early by user, before any trial had a value")
    with pytest.raises(BadRequest, match="only a running sweep"):
        await world.scheduler.finish(job_id)
