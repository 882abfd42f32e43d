"""Derives outcomes of trials from their jobs, and the proposer's questions from trials. Pure."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

import msgspec

from store.records import JobRecord, SweepRecord, TrialRecord
from taod.automl.algorithms import Algorithm
from taod.automl.schedule import score
from taod.automl.suggest import ObservedTrial, Question
from taod.telemetry.metric import values
from taod.types.job import Graphical, Kpi, Result
from taod.types.reason import CANCELLED_BY_SWEEP, Reason, ReasonCode
from taod.types.state import State
from taod.types.sweep import SweepSettings

EARLY = Reason(ReasonCode.SWEEP_ENDED_EARLY)


class RungEnd(msgspec.Struct, frozen=True):
    """How a trial's rung ended."""

    outcome: str
    reason: Reason | None
    scores: dict[str, float]
    trained: int


def pruned(why: Reason) -> Reason:
    """The reason of a trial that its sweep stopped."""
    return Reason(ReasonCode.PRUNED, {"why": why.document()})


def trial_id(sweep_id: str, number: int) -> str:
    """The deterministic id of a trial's job, so that a folder created before a crash is reused."""
    return str(uuid.uuid5(uuid.UUID(sweep_id), f"trial {number}"))


def seed(sweep: SweepRecord, number: int) -> int:
    """The seed of one proposal (31 bits), derived from the sweep's seed and the trial's number."""
    digest = hashlib.sha256(f"{sweep.seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def ended(trial: TrialRecord, job: JobRecord | None, result: Result, settings: SweepSettings) -> RungEnd | None:
    """How the trial's job ended; None while it runs, waits, or was stopped together with its sweep."""
    if job is None:
        return RungEnd("failed", Reason(ReasonCode.JOB_DELETED), trial.scores, trial.trained)
    if job.state is State.CANCELLED and job.reason == CANCELLED_BY_SWEEP:
        return None
    if not job.state.ended:
        return None
    reported = values(result, settings.metric)
    trained = max([trial.trained, result.epoch or result.cur_iter or 0, *reported])
    scores = trial.scores | {str(epoch): value for epoch, value in sorted(reported.items())}
    if job.state is State.FAILED:
        return RungEnd("failed", job.reason, trial.scores, trained)
    if job.state is State.CANCELLED:
        if trial.reason == pruned(EARLY) and trial.scores:
            # It was promoted before: its earlier value counts.
            return RungEnd("done", EARLY, scores, trained)
        if trial.reason_code is ReasonCode.PRUNED:
            return RungEnd("pruned", trial.reason, scores, trained)
        return RungEnd("cancelled", job.reason, scores, trained)
    wrong = _without_value(result, settings, reported)
    if wrong is not None:
        return RungEnd("failed", wrong, trial.scores, trained)
    return RungEnd("done", None, scores, trained)


def _without_value(result: Result, settings: SweepSettings, reported: dict[int, float]) -> Reason | None:
    """Why the run's result gives the trial no value; None if it does."""
    metric = settings.metric
    reports: list[Kpi | Graphical] = [*result.kpi, *result.graphical]
    named = [one for one in reports if one.metric.casefold() == metric.casefold()]
    if not named:
        known = list(dict.fromkeys(one.metric for one in reports))
        return Reason(ReasonCode.NO_METRIC, {"metric": metric, "reported": known})
    last = max((int(epoch) for one in named[:1] for epoch in one.values), default=None)
    if not reported or (settings.value == "last" and last is not None and last not in reported):
        return Reason(ReasonCode.NOT_FINITE, {"metric": metric, "epoch": last})
    return None


def question(
    sweep: SweepRecord, chosen: Algorithm, trials: Sequence[TrialRecord], *, importance: bool = False
) -> Question:
    """The proposer's question for the next trial, or for the importances."""
    settings = sweep.settings
    return Question(
        sampler=chosen.sampler,
        space=sweep.space,
        minimise=settings.minimise,
        seen=_seen(sweep, chosen, trials),
        seed=seed(sweep, 2**20 if importance else len(trials)),
        importance=importance,
    )


def _seen(sweep: SweepRecord, chosen: Algorithm, trials: Sequence[TrialRecord]) -> list[ObservedTrial]:
    """Trials with their values for the proposer.

    Values at different epochs are not comparable: if trials train in rungs, it gets those of the highest rung with
    enough trials (BOHB, Falkner et al., 2018).
    """
    settings = sweep.settings
    at: int | None = None
    if chosen.in_rungs:
        enough = len(sweep.space) + 1
        ends = sorted({int(epoch) for trial in trials for epoch in trial.scores}, reverse=True)
        at = next((end for end in ends if sum(str(end) in trial.scores for trial in trials) >= enough), None)
    seen = []
    for trial in trials:
        if at is not None:
            value = trial.scores.get(str(at))
        else:
            value = None if trial.outcome == "open" and not trial.scores else score(trial, settings)
        if value is None and at is not None and trial.scores:
            continue
        failed = value is None and trial.outcome != "open"
        seen.append(ObservedTrial(trial.number, trial.coordinates, value, failed, trial.memory))
    return seen
