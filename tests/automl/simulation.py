"""A sweep on simulated devices: the real schedule, made-up learning curves, no clock but a heap."""

from __future__ import annotations

import heapq
import math
import random

import msgspec

from store.records import TrialRecord
from taod.automl.actions import Finish, Promote, Prune, StartTrial
from taod.automl.algorithms import algorithm
from taod.automl.schedule import Snapshot, decide
from taod.types.reason import Reason, ReasonCode
from taod.types.sweep import SweepSettings


class Simulated(msgspec.Struct):
    """What a simulated sweep did."""

    trials: list[TrialRecord]
    steps: list[object]
    busy_s: float
    idle_s: float
    """Device seconds without a trial while trials could start; the end of the last ones does not count."""
    reason: Reason | None = None


def settings(name: str, **more: object) -> SweepSettings:
    return SweepSettings(algorithm=name, metric="loss", minimise=True, **more)


def simulate(
    chosen: SweepSettings, devices: int, *, seed: int = 1, ask_s: float = 1.0, start_s: float = 0.05, fails: float = 0.0
) -> Simulated:
    """Run a sweep to its end. An epoch takes a minute more or less, a proposal `ask_s`, a start `start_s`."""
    chosen = msgspec.structs.replace(chosen, max_parallel=devices)
    draw = random.Random(seed)
    trials: list[TrialRecord] = []
    quality: dict[int, float] = {}
    pace: dict[int, float] = {}
    running: list[tuple[float, int]] = []
    now, busy = 0.0, 0.0
    gaps: list[tuple[float, float, bool]] = []
    free_since = [0.0] * devices
    steps: list[object] = []
    while True:
        step = decide(Snapshot(settings=chosen, trials=trials))
        if isinstance(step, Finish):
            last = max(at for at, _, new in gaps if new)
            return Simulated(trials, steps, busy, sum(wait for at, wait, _ in gaps if at <= last), step.reason)
        if step is None:
            now, number = heapq.heappop(running)
            free_since.append(now)
            _end(trials[number], quality[number], draw.random() < fails)
            continue
        steps.append(step)
        assert not isinstance(step, Prune)
        if isinstance(step, StartTrial):
            if algorithm(chosen.algorithm).sampler != "random":
                now += ask_s
            number = len(trials)
            source = trials[step.source] if step.source is not None else None
            quality[number] = draw.random() if source is None else quality[source.number] * draw.uniform(0.8, 1.1)
            pace[number] = 60.0 * math.exp(draw.gauss(0.0, 0.3))
            trained = source.trained if source is not None else 0
            trials.append(
                TrialRecord(
                    sweep_id="sweep",
                    number=number,
                    job_id=f"job {number}",
                    coordinates={},
                    params={},
                    memory={"replaces": step.replaces} if step.replaces is not None else {},
                    bracket=step.bracket,
                    rung=step.rung,
                    epochs=step.epochs,
                    source=step.source,
                    trained=trained,
                    first_epochs=trained,
                )
            )
        else:
            assert isinstance(step, Promote)
            number = step.number
            trial = trials[number]
            assert trial.outcome == "done" and trial.rung == step.rung - 1 and trial.trained < step.epochs
            trial.outcome, trial.rung, trial.epochs = "open", step.rung, step.epochs
        trial = trials[number]
        length = ((trial.epochs or 10) - trial.trained) * pace[number]
        gaps.append((now, now + start_s - free_since.pop(0), isinstance(step, StartTrial)))
        busy += length
        heapq.heappush(running, (now + start_s + length, number))
        assert len(running) <= devices


def _end(trial: TrialRecord, quality: float, fails: bool) -> None:
    trial.trained = trial.epochs or 10
    if fails:
        trial.outcome, trial.reason_code = "failed", ReasonCode.REPORTED
        return
    trial.outcome = "done"
    trial.scores = trial.scores | {str(trial.trained): quality + 1.0 / trial.trained}
