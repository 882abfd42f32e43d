"""Decides the next step of a sweep from its trials. Pure: knows no store, process, clock or sampler."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import msgspec

from store.records import TrialRecord
from taod.automl import population, rungs
from taod.automl.actions import Finish, Promote, Prune, StartTrial, Step
from taod.automl.algorithms import algorithm
from taod.types.reason import Reason, ReasonCode
from taod.types.sweep import SweepSettings

FAILURES = 5
"""Number of trials after which the sweep ends if all of them failed."""
WARM_UP = 4
"""Number of finished trials that the median stopping rule needs."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a decision depends on."""

    settings: SweepSettings
    trials: Sequence[TrialRecord]
    running: Mapping[int, Mapping[int, float]] = {}
    """Reports of open trials: number → epoch → value."""
    hours: float = 0.0
    """Hours since the start of the sweep."""


def decide(now: Snapshot) -> Step | None:
    """The next step; None: wait. Called again after each step."""
    schedule = algorithm(now.settings.algorithm).schedule
    opened = [trial for trial in now.trials if trial.outcome == "open"]
    if schedule == "median" and (prune := _worse_than_median(now)) is not None:
        return prune
    if len(opened) < now.settings.max_parallel:
        stop = stop_reason(now)
        step = _SCHEDULES[schedule](now, stop is None)
        if step is not None:
            return step
        if not opened:
            return Finish(stop or Reason(ReasonCode.ALL_TRIED))
    return None


def stop_reason(now: Snapshot) -> Reason | None:
    """Why no new trial may be started; None if one may."""
    settings = now.settings
    ended = [trial for trial in now.trials if trial.outcome != "open"]
    failed = [trial for trial in ended if trial.outcome == "failed"]
    if len(failed) >= FAILURES and len(failed) == len(ended) and not any(trial.scores for trial in now.trials):
        return Reason(ReasonCode.FIRST_FAILED, {"count": len(failed)})
    if settings.max_epochs and epochs_trained(now.trials) >= settings.max_epochs:
        return Reason(ReasonCode.EPOCHS_SPENT, {"epochs": settings.max_epochs})
    if settings.max_hours and now.hours >= settings.max_hours:
        return Reason(ReasonCode.HOURS_SPENT, {"hours": settings.max_hours})
    if settings.patience and since_best(settings, now.trials) >= settings.patience:
        return Reason(ReasonCode.NO_IMPROVEMENT, {"trials": settings.patience})
    return None


def epochs_trained(trials: Sequence[TrialRecord]) -> int:
    """Total epochs of all trials; epochs of a copied checkpoint count once."""
    return sum(max(0, trial.trained - trial.first_epochs) for trial in trials)


def score(trial: TrialRecord, settings: SweepSettings, at: int | None = None) -> float | None:
    """The score of a trial: its last or best value, up to epoch `at` if given; None without a value."""
    values = {int(epoch): value for epoch, value in trial.scores.items()}
    within = [epoch for epoch in values if at is None or epoch <= at]
    if not within:
        return None
    if settings.value == "best":
        chosen = [values[epoch] for epoch in within]
        return min(chosen) if settings.minimise else max(chosen)
    return values[max(within)]


def best(trials: Sequence[TrialRecord], settings: SweepSettings) -> TrialRecord | None:
    """The trial with the best score, then the most epochs; pruned and cancelled trials do not count."""
    whole = [trial for trial in trials if trial.outcome not in ("pruned", "cancelled")]
    scored = [(value, trial) for trial in whole if (value := score(trial, settings)) is not None]
    sign = 1 if settings.minimise else -1
    return min(scored, key=lambda one: (sign * one[0], -one[1].trained, one[1].number))[1] if scored else None


def since_best(settings: SweepSettings, trials: Sequence[TrialRecord]) -> int:
    """Number of ended trials with a higher number than the best one."""
    first = best(trials, settings)
    if first is None:
        return 0
    return sum(1 for trial in trials if trial.number > first.number and trial.outcome in ("done", "pruned"))


def _full_trial(now: Snapshot, more: bool) -> Step | None:
    if more and len(now.trials) < now.settings.max_recommendations:
        return StartTrial()
    return None


def _hyperband(now: Snapshot, more: bool) -> Step | None:
    """Certain promotions first, then new trials of any bracket, then likely promotions instead of idling."""
    settings = now.settings
    brackets = rungs.hyperband(settings.R, settings.nu, settings.epoch_multiplier)
    likely: Promote | None = None
    for index, bracket in enumerate(brackets):
        inside = [trial for trial in now.trials if trial.bracket == index]
        for rung in range(len(bracket.rungs) - 1, 0, -1):
            step, certain = _promotion(settings, bracket, inside, rung, more)
            if step is not None and certain:
                return step
            likely = likely or step
    if more:
        for index, bracket in enumerate(brackets):
            if sum(1 for trial in now.trials if trial.bracket == index) < bracket.rungs[0][0]:
                return StartTrial(bracket=index, epochs=bracket.rungs[0][1])
    return likely


def _promotion(
    settings: SweepSettings, bracket: rungs.Bracket, inside: Sequence[TrialRecord], rung: int, more: bool
) -> tuple[Promote | None, bool]:
    """The next trial to promote to `rung`, and whether its promotion is independent of the open trials of its rung.

    Certain are the best `slots` trials, minus one for each open or future trial that may still rank before them.
    """
    slots, epochs = bracket.rungs[rung]
    here = [trial for trial in inside if trial.rung >= rung - 1]
    above = [trial for trial in inside if trial.rung >= rung]
    ended = [trial for trial in here if trial.rung > rung - 1 or trial.outcome != "open"]
    # If no more trials are started, only the existing ones can end this rung.
    coming = (bracket.rungs[rung - 1][0] if more else len(here)) - len(ended)
    ranked = _ranked(settings, [trial for trial in here if _ended(trial, rung - 1)], bracket.rungs[rung - 1][1])
    waiting = [(rank, one) for rank, one in enumerate(ranked) if one.rung == rung - 1 and one.outcome == "done"]
    if not waiting or len(above) >= slots:
        return None, False
    rank, first = waiting[0]
    # ASHA's rule for a likely promotion: it is among the best 1/nu of the ended trials.
    likely = rank < max(1, len(ranked) // settings.nu)
    certain = rank + coming < slots
    return (Promote(first.number, rung, epochs), certain) if certain or likely else (None, False)


def _asha(now: Snapshot, more: bool) -> Step | None:
    settings = now.settings
    ends = rungs.asha(settings.R, settings.nu, settings.epoch_multiplier)
    for rung in range(len(ends) - 1, 0, -1):
        ended = [trial for trial in now.trials if _ended(trial, rung - 1)]
        ranked = _ranked(settings, ended, ends[rung - 1])
        for trial in ranked[: len(ranked) // settings.nu]:
            if trial.rung == rung - 1 and trial.outcome == "done":
                return Promote(trial.number, rung, ends[rung])
    if more and len(now.trials) < settings.max_recommendations:
        return StartTrial(epochs=ends[0])
    return None


def _population(now: Snapshot, more: bool) -> Step | None:
    return population.next_step(now.settings, now.trials, more, score)


def _ended(trial: TrialRecord, rung: int) -> bool:
    """Whether the trial has ended this rung with a value."""
    return bool(trial.scores) and (trial.rung > rung or (trial.rung == rung and trial.outcome == "done"))


def _ranked(settings: SweepSettings, trials: Sequence[TrialRecord], at: int) -> list[TrialRecord]:
    """The trials sorted by their score at the rung's end, best first."""
    sign = 1 if settings.minimise else -1
    scored = [(value, trial) for trial in trials if (value := score(trial, settings, at)) is not None]
    return [trial for _, trial in sorted(scored, key=lambda one: (sign * one[0], one[1].number))]


def _worse_than_median(now: Snapshot) -> Prune | None:
    """Prune a running trial whose best value is worse than the median of the finished trials' means up to that epoch.

    Golovin et al., 2017, Google Vizier: the median stopping rule.
    """
    sign = 1 if now.settings.minimise else -1
    finished = [_curve(trial) for trial in now.trials if trial.outcome == "done"]
    if len(finished) < WARM_UP:
        return None
    for number, reported in sorted(now.running.items()):
        if len(reported) < 2:
            continue
        epoch = max(reported)
        others = [means for curve in finished if (means := _mean_until(curve, epoch)) is not None]
        own = min(sign * value for value in reported.values())
        if len(others) >= WARM_UP and own > statistics.median(sign * mean for mean in others):
            return Prune(number, Reason(ReasonCode.WORSE_THAN_MEDIAN, {"others": len(others), "epoch": epoch}))
    return None


def _curve(trial: TrialRecord) -> dict[int, float]:
    return {int(epoch): value for epoch, value in trial.scores.items()}


def _mean_until(curve: Mapping[int, float], epoch: int) -> float | None:
    until = [value for at, value in curve.items() if at <= epoch]
    return statistics.fmean(until) if until else None


_SCHEDULES: dict[str, Callable[[Snapshot, bool], Step | None]] = {
    "whole": _full_trial,
    "median": _full_trial,
    "hyperband": _hyperband,
    "asha": _asha,
    "population": _population,
}
