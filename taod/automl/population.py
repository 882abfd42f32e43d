"""Population based training: the worst members are replaced by variations of the best, with their checkpoints. Pure.

Jaderberg et al., 2017, https://arxiv.org/abs/1711.09846, with truncation selection.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

from store.records import TrialRecord
from taod.automl.actions import Promote, StartTrial, Step
from taod.types.sweep import Dimension, SweepSettings

GENERATIONS = 5
PART = 0.25
"""Fraction of the population that counts as worst or best."""
FRESH = 0.25
"""Probability that a perturbed parameter is redrawn at random."""
STEP = 0.2
"""Distance by which a number's coordinate is perturbed, up or down."""

Score = Callable[[TrialRecord, SweepSettings, int | None], float | None]


def ends(settings: SweepSettings) -> list[int]:
    """Epochs at the end of each generation: R × multiplier in equal parts."""
    whole = settings.R * settings.epoch_multiplier
    step = max(1, whole // GENERATIONS)
    return [min(step * (generation + 1), whole) for generation in range(GENERATIONS) if step * generation < whole]


def next_step(settings: SweepSettings, trials: Sequence[TrialRecord], more: bool, score: Score) -> Step | None:
    """The next step: start the founders; then continue each member that ended a generation, or replace it by a
    variation of a better one. Asynchronous: a member is compared with those that have trained as long."""
    generations = ends(settings)
    founders = min(settings.population, settings.max_recommendations)
    if more and sum(1 for trial in trials if trial.source is None) < founders:
        return StartTrial(epochs=generations[0])
    replaced = {trial.memory["replaces"] for trial in trials if trial.memory.get("replaces") is not None}
    for trial in sorted(trials, key=lambda one: (one.rung, one.number)):
        if trial.number in replaced or trial.outcome != "done" or trial.rung + 1 >= len(generations):
            continue
        better = _better(settings, trials, trial, generations[trial.rung], score)
        if better is not None and more and len(trials) < settings.max_recommendations:
            rung = _rung_after(better.trained, generations)
            if rung is not None:
                return StartTrial(rung=rung, epochs=generations[rung], source=better.number, replaces=trial.number)
        return Promote(trial.number, trial.rung + 1, generations[trial.rung + 1])
    return None


def _rung_after(trained: int, generations: Sequence[int]) -> int | None:
    return next((rung for rung, end in enumerate(generations) if end > trained), None)


def _better(
    settings: SweepSettings, trials: Sequence[TrialRecord], one: TrialRecord, at: int, score: Score
) -> TrialRecord | None:
    """A member of the best part, if `one` is in the worst part of those that have trained as long; else None."""
    sign = 1 if settings.minimise else -1
    peers = [(sign * value, trial) for trial in trials if (value := score(trial, settings, at)) is not None]
    peers = sorted((peer for peer in peers if peer[1].trained >= at), key=lambda peer: (peer[0], peer[1].number))
    part = max(1, math.floor(len(peers) * PART))
    if len(peers) < 2 or one.number not in {trial.number for _, trial in peers[-part:]}:
        return None
    best = [trial for _, trial in peers[:part] if trial.outcome in ("done", "open") and not trial.cleared]
    return random.Random(f"{one.sweep_id}/{one.number}/{one.rung}").choice(best) if best else None


def perturbed(space: Sequence[Dimension], coordinates: Mapping[str, float], draw: random.Random) -> dict[str, float]:
    """Perturbed coordinates; some are redrawn at random."""
    return {each.path: _moved(each, coordinates.get(each.path, 0.5), draw) for each in space}


def _moved(each: Dimension, at: float, draw: random.Random) -> float:
    last = len(each.choices) - 1
    if draw.random() < FRESH:
        return float(draw.randint(0, last)) if each.choices else draw.random()
    if each.kind == "ordered":
        return float(min(max(round(at) + draw.choice((-1, 1)), 0), last))
    if each.choices:
        return at
    return min(max(at + draw.choice((-STEP, STEP)), 0.0), 1.0)
