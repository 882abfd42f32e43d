"""Sweeps from the first trial to the best model, with real processes: algorithms, failures, pauses and cancels."""

from __future__ import annotations

import pytest
from sweep_world import LR, PARAMETER

from taod import backoff
from taod.automl.controller import SweepSupervisor
from taod.automl.schedule import epochs_trained
from taod.config import AutomlConfig
from taod.types.reason_text import text
from taod.types.state import State

pytestmark = pytest.mark.slow(seconds=1)

RANDOM = {"automl_algorithm": "Random", "automl_max_recommendations": 4}


def subjects(world) -> list[str]:
    """Subjects of the notifications, without the machine's name."""
    rows = world.store._database.rows("SELECT subject FROM notifications ORDER BY rowid")
    return [subject.partition(": ")[2] for (subject,) in rows]


def best_in_turn(values: list[float]) -> list[str]:
    """Subjects for the values of trials that run one after the other."""
    better = [value for number, value in enumerate(values) if value < min([*values[:number], float("inf")])]
    return [f"train of My Model has a new best: loss {value:.6g}" for value in better]


async def test_a_sweep_keeps_its_best_trial_as_its_model(make_world) -> None:
    world = await make_world(slots=1)
    job_id = world.post(**RANDOM)
    job = await world.over(job_id)
    assert job.state is State.DONE, job.reason_text
    trials = world.trials(job_id)
    assert [(trial.number, trial.outcome, trial.trained) for trial in trials] == [(n, "done", 2) for n in range(4)]
    values = {trial.number: trial.scores["2"] for trial in trials}
    winner = min(values, key=lambda number: values[number])
    result = world.store.jobs.result(job_id)
    assert [(figure.metric, figure.value) for figure in result.automl_result] == [
        ("best_loss", values[winner]),
        ("best_experiment", winner),
    ]
    assert job.metric_value == values[winner]
    assert subjects(world) == [*best_in_turn(list(values.values())), "train of My Model is done"]
    folder = world.root.job(job_id)
    (weights,) = folder.results.glob("best_model/*.pth")
    assert weights.read_bytes() == (world.root.job(trials[winner].job_id).results / "epoch_2.pth").read_bytes()
    swept, best = world.store.jobs.specified(job_id), world.store.jobs.specified(trials[winner].job_id)
    assert swept is not None and best is not None and swept.spec == best.spec
    assert trials[0].params == {PARAMETER: 0.05}, "the first one is the specification itself"
    assert f"trial {winner}" in folder.log.read_text()


async def test_trials_run_in_parallel_as_jobs_of_the_same_queue(make_world, tmp_path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    world = await make_world(slots=2, gate=str(gate))
    job_id = world.post(**RANDOM)
    await world.when(lambda: sum(j.state is State.RUNNING for j in world.store.jobs.trials_of(job_id)) == 2)
    jobs = world.store.jobs.trials_of(job_id)
    assert [(job.sweep_id, job.trial, job.parent_id) for job in jobs] == [(job_id, 0, None), (job_id, 1, None)]
    assert len({device for job in jobs for device in job.devices}) == 2
    assert world.job(job_id).devices == []
    owner = world.job(job_id).owner_id
    assert [job.id for job in world.store.jobs.public("model", [owner])[owner]] == [job_id]
    gate.unlink()
    assert (await world.over(job_id)).state is State.DONE
    assert all("tool runs" in world.root.job(job.id).log.read_text() for job in jobs)


@pytest.mark.parametrize("algorithm", ["HyperBand", "BOHB", "ASHA", "PBT"])
async def test_rungs_continue_from_their_checkpoint_and_train_each_epoch_once(make_world, algorithm) -> None:
    world = await make_world()
    job_id = world.post(automl_algorithm=algorithm, automl_R=4, automl_nu=2, automl_max_recommendations=6)
    job = await world.over(job_id)
    assert job.state is State.DONE, job.reason_text
    trials = world.trials(job_id)
    for trial in trials:
        epochs = world.reported_epochs(trial.job_id)
        assert epochs == list(range(trial.first_epochs + 1, trial.trained + 1)), trial
    reported = sum(len(world.reported_epochs(trial.job_id)) for trial in trials)
    assert reported == epochs_trained(trials)
    assert any(world.job(trial.job_id).attempt > 1 for trial in trials), "something was promoted"
    if algorithm in ("HyperBand", "BOHB"):
        # R = 4, nu = 2: brackets of 4 trials (1, 2, 4 epochs) and of 2 (2, 4 epochs).
        assert sorted((trial.bracket, trial.trained) for trial in trials) == [
            (0, 1), (0, 1), (0, 2), (0, 4), (1, 2), (1, 4),
        ]  # fmt: skip
    if algorithm == "PBT":
        heirs = [trial for trial in trials if trial.source is not None]
        assert heirs
        assert all(trial.params != trials[trial.source].params for trial in heirs)


async def test_failed_trials_are_recorded_and_not_retried(make_world) -> None:
    world = await make_world(fail=lambda number: "out of memory" if number % 2 else "")
    job_id = world.post(automl_algorithm="TPE", automl_max_recommendations=4)
    assert (await world.over(job_id)).state is State.DONE
    assert [trial.outcome for trial in world.trials(job_id)] == ["done", "failed", "done", "failed"]
    assert {job.attempt for job in world.store.jobs.trials_of(job_id)} == {1}
    assert text(world.trials(job_id)[1].reason) == "out of memory"


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ({"fail": "out of memory"}, "All 3 trials failed, 3 of them so: out of memory"),
        ({"nan": True}, "All 3 trials failed, 3 of them so: loss was not finite at epoch 2"),
        ({"metric": "accuracy"}, "so: it reported no metric 'loss'; it reported accuracy"),
    ],
)
async def test_a_sweep_without_a_value_fails_with_the_common_cause(make_world, orders, words) -> None:
    world = await make_world(**orders)
    job_id = world.post(automl_algorithm="Random", automl_max_recommendations=3)
    job = await world.over(job_id)
    assert job.state is State.FAILED
    assert words in job.reason_text


async def test_a_paused_sweep_resumes_where_it_stopped(make_world, tmp_path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    world = await make_world(slots=1, gate=str(gate))
    job_id = world.post(**RANDOM, config=AutomlConfig(max_parallel=2))
    waiting = [State.QUEUED, State.RUNNING]
    await world.when(lambda: sorted(j.state for j in world.store.jobs.trials_of(job_id)) == waiting)
    await world.scheduler.pause(job_id)
    paused = await world.until(job_id, State.PAUSED)
    assert paused.reason_text.startswith("Paused: 0 of 4 trials done")
    assert sorted(job.state for job in world.store.jobs.trials_of(job_id)) == [State.HELD, State.PAUSED]
    assert world.bus.listeners == 0, "no listener needs device readings"
    gate.unlink()
    world.scheduler.resume(job_id)
    assert (await world.over(job_id)).state is State.DONE
    assert [trial.outcome for trial in world.trials(job_id)] == ["done"] * 4
    assert [world.reported_epochs(trial.job_id) for trial in world.trials(job_id)] == [[1, 2]] * 4


async def test_cancelling_a_sweep_cancels_its_trials_and_a_resume_continues_them(make_world, tmp_path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    world = await make_world(slots=2, gate=str(gate))
    job_id = world.post(**RANDOM)
    await world.when(lambda: sum(j.state is State.RUNNING for j in world.store.jobs.trials_of(job_id)) == 2)
    await world.scheduler.cancel(job_id)
    job = await world.until(job_id, State.CANCELLED)
    assert job.reason_text == "Cancelled by user"
    assert {j.reason_text for j in world.store.jobs.trials_of(job_id)} == {"Cancelled by its sweep"}
    assert world.store.leases.all() == []
    gate.unlink()
    world.scheduler.resume(job_id)
    assert (await world.over(job_id)).state is State.DONE
    assert [trial.outcome for trial in world.trials(job_id)] == ["done"] * 4


async def test_cancelling_a_paused_sweep_cancels_all_its_trials(make_world, tmp_path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    world = await make_world(slots=1, gate=str(gate))
    job_id = world.post(**RANDOM, config=AutomlConfig(max_parallel=2))
    waiting = [State.QUEUED, State.RUNNING]
    await world.when(lambda: sorted(j.state for j in world.store.jobs.trials_of(job_id)) == waiting)
    await world.scheduler.pause(job_id)
    await world.until(job_id, State.PAUSED)
    assert (await world.scheduler.cancel(job_id)).state is State.CANCELLED
    assert {j.state for j in world.store.jobs.trials_of(job_id)} == {State.CANCELLED}
    gate.unlink()


async def test_a_sweep_continues_after_one_trial_is_cancelled(make_world, tmp_path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    world = await make_world(slots=2, gate=str(gate))
    job_id = world.post(**RANDOM)
    await world.when(lambda: sum(j.state is State.RUNNING for j in world.store.jobs.trials_of(job_id)) == 2)
    await world.scheduler.cancel(world.trials(job_id)[0].job_id)
    gate.unlink()
    assert (await world.over(job_id)).state is State.DONE
    assert [trial.outcome for trial in world.trials(job_id)] == ["cancelled", "done", "done", "done"]


async def test_checkpoints_except_the_best_are_deleted_on_request(make_world) -> None:
    world = await make_world()
    job_id = world.post(**RANDOM, automl_delete_intermediate_ckpt=True)
    await world.over(job_id)
    left = [list(world.root.job(trial.job_id).results.glob("*.pth")) for trial in world.trials(job_id)]
    assert sum(map(bool, left)) == 1
    assert list(world.root.job(job_id).results.glob("best_model/*.pth"))


async def test_budgets_and_patience_end_a_sweep(make_world) -> None:
    world = await make_world(slots=1)
    spent = world.post(automl_algorithm="Random", config=AutomlConfig(max_epochs=4))
    assert "4 epochs are spent" in (await world.over(spent)).reason_text
    assert len(world.trials(spent)) == 2
    patient = world.post(automl_algorithm="Random", config=AutomlConfig(patience=3))
    assert "brought no improvement" in (await world.over(patient)).reason_text
    assert len(world.trials(patient)) < 20


async def test_added_parameters_are_searched_too(make_world) -> None:
    world = await make_world()
    job_id = world.post(**RANDOM, automl_add_hyperparameters=f'["{LR}"]')
    await world.over(job_id)
    assert {frozenset(trial.params) for trial in world.trials(job_id)} == {frozenset({PARAMETER, LR})}
    assert len({trial.params[LR] for trial in world.trials(job_id)}) == 4


async def test_a_fault_that_stays_fails_the_sweep_and_cancels_its_trials(make_world, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.001)
    gate = tmp_path / "gate"
    gate.touch()
    world = await make_world(gate=str(gate))
    job_id = world.post(**RANDOM)
    await world.when(lambda: any(job.state is State.RUNNING for job in world.store.jobs.trials_of(job_id)))

    def broken(*_: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr(SweepSupervisor, "_record_ended_trials", broken)
    trial = next(job for job in world.store.jobs.trials_of(job_id) if job.state is State.RUNNING)
    await world.scheduler.cancel(trial.id)  # Its end is an event of the sweep.
    job = await world.until(job_id, State.FAILED)
    assert job.reason_text.endswith("KeyError: 'a fault'")
    for one in world.store.jobs.trials_of(job_id):
        await world.until(one.id, State.CANCELLED)
