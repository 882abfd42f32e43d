"""kill -9 at any instant of a sweep: no trial is lost, none is repeated, no epoch is trained twice.

`TAOD_STORM_S=300 pytest tests/automl/test_sweep_storm.py` storms longer, over all algorithms.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_world import World

from taod.automl import encoding
from taod.automl.algorithms import algorithm
from taod.automl.schedule import epochs_trained
from taod.automl.suggest import answer
from taod.automl.trials import question
from taod.types.state import State
from tests.patience import PATIENCE_S

STORM_S = float(os.environ.get("TAOD_STORM_S", "6"))
MIN_KILLS = 3
REPOSITORY = Path(__file__).parents[2]
SHORT = ["HyperBand"]
ALL = ["HyperBand", "Random", "ASHA", "BOHB", "PBT", "Median", "TPE", "CMAES"]


class Daemons:
    """One daemon after the other over one root."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.kills = 0

    def live(self, seconds: float) -> None:
        """Start one, let it work, and kill it."""
        path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
        daemon = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("sweep_daemon.py")), str(self._root)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "ready\n"
        try:
            daemon.wait(seconds)
        except subprocess.TimeoutExpired:
            daemon.kill()
            self.kills += 1
        assert daemon.wait(PATIENCE_S) == -9
        daemon.stdout.close()


@pytest.mark.slow
@pytest.mark.timeout(900 + 4 * STORM_S * len(ALL))
@pytest.mark.parametrize("name", ALL if STORM_S > 10 else SHORT)
async def test_a_sweep_survives_a_storm_of_kills(tmp_path: Path, make_world, name: str) -> None:
    writer = World(tmp_path / "root")
    size = 12 if STORM_S <= 10 else 60
    job_id = writer.post(automl_algorithm=name, automl_R=8, automl_nu=2, automl_max_recommendations=size, epochs=3)
    draw = random.Random(5)
    daemons = Daemons(tmp_path / "root")
    end = time.monotonic() + STORM_S / (len(ALL) if STORM_S > 10 else 1)
    # On a busy machine one kill may take longer than the whole storm on an idle one.
    while (time.monotonic() < end or daemons.kills < MIN_KILLS) and not writer.job(job_id).state.ended:
        daemons.live(draw.uniform(0.0, 0.25))
    assert daemons.kills >= MIN_KILLS
    writer.store.close()

    world = await make_world()
    job = await world.over(job_id)
    assert job.state is State.DONE, job.reason_text
    trials, jobs = world.trials(job_id), world.store.jobs.trials_of(job_id)
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert sorted(trial.job_id for trial in trials) == sorted(each.id for each in jobs)
    assert all(each.state.ended for each in jobs)
    assert world.store.leases.all() == []
    assert {folder.name for folder in world.root.jobs.iterdir()} == {job_id, *(each.id for each in jobs)}
    reported = 0
    for trial in trials:
        epochs = world.reported_epochs(trial.job_id)
        if trial.outcome != "pruned":
            assert epochs == list(range(trial.first_epochs + 1, trial.trained + 1)), trial
        reported += len(epochs)
    assert name == "Median" or reported == epochs_trained(trials)
    if algorithm(name).schedule == "hyperband":
        assert len(trials) == 8 + 4 + 4
    elif algorithm(name).schedule == "whole":
        assert len(trials) == size
    if algorithm(name).sampler == "random" and name != "PBT":
        # The trials equal those of a daemon that was not killed.
        sweep = world.sweep(job_id)
        for trial in trials[1:]:
            alone = answer(question(sweep, algorithm(name), trials[: trial.number]))
            assert trial.params == encoding.values(sweep.space, alone.coordinates, sweep.base)
