"""Decisions of a sweep, without processes: brackets, promotions, populations, budgets, idle devices."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from simulation import settings, simulate

from store.records import TrialRecord
from taod.automl import rungs
from taod.automl.actions import Finish, Promote, Prune, StartTrial
from taod.automl.algorithms import ALGORITHMS, algorithm
from taod.automl.schedule import Snapshot, best, decide
from taod.errors import BadRequest
from taod.types.reason import Reason, ReasonCode
from taod.types.reason_text import text

RUNGED = ("HyperBand", "BOHB", "ASHA", "PBT")


def trial(number: int, outcome: str = "done", **fields: object) -> TrialRecord:
    scores = fields.pop("scores", {"10": float(number)})
    return TrialRecord(
        sweep_id="s", number=number, job_id=f"j{number}", coordinates={}, params={}, outcome=outcome, scores=scores,
        trained=max(map(int, scores), default=0), **fields,
    )  # fmt: skip


def test_the_brackets_are_those_of_the_reference() -> None:
    found = [bracket.rungs for bracket in rungs.hyperband(27, 3, 1)]
    assert found == [[(27, 1), (9, 3), (3, 9), (1, 27)], [(9, 3), (3, 9), (1, 27)], [(6, 9), (2, 27)]]
    assert rungs.hyperband(27, 3, 2)[2].rungs == [(6, 18), (2, 54)], "the multiplier stretches epochs"
    assert rungs.hyperband(2, 3, 5) == [rungs.Bracket([(1, 10)])]
    # In floats, log(243, 3) is 4.999…
    assert len(rungs.hyperband(243, 3, 1)) == 5
    assert rungs.asha(81, 3, 1) == [1, 3, 9, 27, 81]


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("name", [*RUNGED, "Bayesian"])
def test_devices_are_busy_while_trials_can_start(name: str, devices: int) -> None:
    for seed in range(5):
        sweep = simulate(settings(name, max_recommendations=60, population=devices + 2), devices, seed=seed)
        assert sweep.idle_s / (sweep.idle_s + sweep.busy_s) < 0.02, f"{name}, {devices} devices, seed {seed}"


@pytest.mark.parametrize("devices", [1, 3, 8])
@pytest.mark.parametrize("fails", [0.0, 0.3])
def test_hyperband_fills_every_rung_and_promotes_its_best(devices: int, fails: float) -> None:
    sweep = simulate(settings("HyperBand"), devices, fails=fails)
    for index, bracket in enumerate(rungs.hyperband(27, 3, 1)):
        inside = [one for one in sweep.trials if one.bracket == index]
        assert len(inside) == bracket.rungs[0][0]
        reached = Counter(rung for one in inside for rung in range(one.rung + 1))
        for rung, (count, _) in enumerate(bracket.rungs):
            assert reached[rung] == count if not fails else reached[rung] <= count
        if not fails and devices == 1:
            # One device: nothing is promoted before its rung is known.
            for rung, (count, epochs) in enumerate(bracket.rungs[:-1]):
                here = sorted((one for one in inside if one.rung >= rung), key=lambda one: one.scores[str(epochs)])
                kept = bracket.rungs[rung + 1][0]
                assert {one.number for one in here[:kept]} == {one.number for one in here if one.rung > rung}, count
    assert sweep.reason == Reason(ReasonCode.ALL_TRIED)


def test_asha_promotes_the_best_third_of_each_rung() -> None:
    sweep = simulate(settings("ASHA", max_recommendations=30), 4)
    reached = Counter(rung for one in sweep.trials for rung in range(one.rung + 1))
    assert (reached[0], reached[1] >= 10, reached[3] >= 1) == (30, True, True)
    epochs = sum(one.trained for one in sweep.trials)
    assert epochs < 30 * 27 / 3, "most trials end early"


def test_a_population_keeps_its_size_and_replaces_its_worst_by_its_best() -> None:
    sweep = simulate(settings("PBT", max_recommendations=12, population=6, R=20), 3)
    heirs = [one for one in sweep.trials if one.source is not None]
    assert heirs and len(sweep.trials) <= 12
    for heir in heirs:
        source, replaced = sweep.trials[heir.source], sweep.trials[heir.memory["replaces"]]
        assert heir.first_epochs > 0
        assert source.scores[str(heir.first_epochs)] <= replaced.scores[max(replaced.scores, key=int)] + 1
        assert not any(one.number == replaced.number for one in heirs if one.memory["replaces"] == one.number)
    assert max(one.trained for one in sweep.trials) == 20


@pytest.mark.parametrize("name", [*RUNGED, "TPE"])
def test_a_sweep_ends_when_all_trials_fail(name: str) -> None:
    sweep = simulate(settings(name, population=5), 2, fails=1.0)
    assert 5 <= len(sweep.trials) <= 7
    assert sweep.reason == Reason(ReasonCode.FIRST_FAILED, {"count": len(sweep.trials)})


def test_a_running_trial_below_the_median_is_stopped() -> None:
    chosen = settings("Median", max_parallel=2, max_recommendations=9)
    done = [trial(n, scores={"1": 1.0, "2": 0.8 + n / 10, "3": 0.5}) for n in range(4)]
    opened = [*done, trial(4, "open", scores={}), trial(5, "open", scores={})]
    bad = Snapshot(settings=chosen, trials=opened, running={4: {1: 0.9, 2: 0.9}, 5: {1: 2.0, 2: 1.9}})
    assert decide(bad) == Prune(5, Reason(ReasonCode.WORSE_THAN_MEDIAN, {"others": 4, "epoch": 2}))
    assert decide(Snapshot(settings=chosen, trials=opened, running={4: {1: 0.9, 2: 0.9}, 5: {1: 2.0}})) is None
    few = [*done[:3], *opened[4:]]
    assert decide(Snapshot(settings=chosen, trials=few, running=bad.running)) is None


def test_budgets_stop_new_trials_and_wait_for_running_ones() -> None:
    ended = [trial(0), trial(1), trial(2)]
    opened = [*ended, trial(3, "open", scores={})]
    for budget, words in (
        ({"max_epochs": 30}, "30 epochs"),
        ({"max_hours": 2.0}, "2 hours"),
        ({"patience": 2}, "last 2"),
    ):
        chosen = settings("Random", max_parallel=2, **budget)
        assert decide(Snapshot(settings=chosen, trials=opened, hours=3.0)) is None
        over = decide(Snapshot(settings=chosen, trials=ended, hours=3.0))
        assert isinstance(over, Finish) and words in text(over.reason)
    assert decide(Snapshot(settings=settings("Random", max_parallel=2), trials=opened)) == StartTrial()
    assert decide(Snapshot(settings=settings("Random", max_parallel=1), trials=opened)) is None


def test_a_promotion_comes_before_a_new_trial_once_it_is_certain() -> None:
    chosen = settings("HyperBand", R=9, nu=3, max_parallel=1)
    first = [trial(n, scores={"1": float(n)}, epochs=1) for n in range(9)]
    assert decide(Snapshot(settings=chosen, trials=first)) == Promote(0, 1, 3)
    assert isinstance(decide(Snapshot(settings=chosen, trials=first[:6])), StartTrial), "three better ones may come"


def test_the_best_follows_the_metrics_direction_and_excludes_stopped_trials() -> None:
    trials = [trial(0, "pruned"), trial(1), trial(2), trial(3, "failed", scores={})]
    lowest = best(trials, settings("Random"))
    assert lowest is not None and lowest.number == 1
    highest = best(trials, msgspec.structs.replace(settings("Random"), minimise=False))
    assert highest is not None and highest.number == 2


def test_names_of_algorithms_are_read_in_any_case() -> None:
    for name in ("hyperband", "HYPERBAND", "Hyper-Band", "hyper_band"):
        assert algorithm(name).name == "HyperBand"
    assert (algorithm(None).name, algorithm("cma-es").name) == ("Bayesian", "CMAES")
    assert [each.name for each in ALGORITHMS.values()][:2] == ["Bayesian", "HyperBand"]
    with pytest.raises(BadRequest, match="'luck' is not known; one of Bayesian, HyperBand, ASHA, BOHB, PBT"):
        algorithm("luck")
