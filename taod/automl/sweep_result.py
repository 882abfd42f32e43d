"""The result of a sweep's job in the published API's form, its progress and its failure. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from store.records import SweepRecord, TrialRecord
from taod.automl import rungs
from taod.automl.algorithms import algorithm
from taod.automl.schedule import best, epochs_trained, score
from taod.types.job import AutomlFigure, DetailedStatus, Result, Stat
from taod.types.reason import Reason, ReasonCode
from taod.types.reason_text import progress_text
from taod.types.sweep import SweepSettings


def planned(settings: SweepSettings) -> int:
    """Number of trials, unless the sweep ends earlier."""
    if algorithm(settings.algorithm).schedule == "hyperband":
        return sum(
            bracket.rungs[0][0] for bracket in rungs.hyperband(settings.R, settings.nu, settings.epoch_multiplier)
        )
    return settings.max_recommendations


def result(sweep: SweepRecord, trials: Sequence[TrialRecord], of_best: Result | None, seconds: float) -> Result:
    """The result of the sweep's job: the best trial's metrics, `automl_result` and `stats`."""
    settings = sweep.settings
    first = best(trials, settings)
    report = Result(detailed_status=DetailedStatus(status="RUNNING", message=progress_text(progress(settings, trials))))
    if of_best is not None:
        report = msgspec.structs.replace(
            report,
            kpi=of_best.kpi,
            graphical=of_best.graphical,
            categorical=of_best.categorical,
            epoch=of_best.epoch,
            max_epoch=of_best.max_epoch,
            time_per_epoch=of_best.time_per_epoch,
        )
    if first is not None:
        report.automl_result = [
            AutomlFigure(f"best_{settings.metric}", score(first, settings)),
            AutomlFigure("best_experiment", float(first.number)),
        ]
    ended = [trial for trial in trials if trial.outcome != "open"]
    remaining = max(0, planned(settings) - len(ended))
    stats = {
        "Current experiment number": str(len(trials) - 1 if trials else 0),
        "Number of experiments done": f"{len(ended)} of {planned(settings)}",
        "Number of experiments failed": str(sum(1 for trial in ended if trial.outcome == "failed")),
        "Number of epochs trained": str(epochs_trained(trials)),
        "Algorithm": settings.algorithm,
    }
    if ended:
        report.eta = clock(seconds / len(ended) * remaining)
        stats["Estimated time for automl completion"] = report.eta
    if (to_go := _epochs_to_start(settings, trials)) is not None:
        stats["Number of epochs yet to start"] = str(to_go)
    report.stats = [Stat(name, text) for name, text in stats.items()]
    return report


def progress(settings: SweepSettings, trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """The progress of a sweep, as arguments of SWEEP_PAUSED."""
    found: dict[str, Any] = {
        "ended": sum(1 for trial in trials if trial.outcome != "open"),
        "planned": planned(settings),
        "metric": settings.metric,
    }
    first = best(trials, settings)
    if first is not None and (value := score(first, settings)) is not None:
        found |= {"value": value, "trial": first.number}
    return found


def failure(trials: Sequence[TrialRecord]) -> Reason:
    """Why a sweep failed: the most frequent reason of its trials, ignoring differences in log excerpts."""
    reasons = [trial.reason for trial in trials if trial.reason is not None]
    if not reasons:
        return Reason(ReasonCode.SWEEP_FAILED)
    counted = Counter(map(_without_log, reasons))
    key, count = counted.most_common(1)[0]
    cause = next(reason for reason in reasons if _without_log(reason) == key)
    return Reason(ReasonCode.SWEEP_FAILED, {"trials": len(trials), "count": count, "cause": cause.document()})


def _without_log(reason: Reason) -> bytes:
    arguments = {name: value for name, value in reason.arguments.items() if name != "log"}
    return msgspec.json.encode(Reason(reason.code, arguments))


def clock(seconds: float) -> str:
    """A duration in the tools' format, H:MM:SS."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _epochs_to_start(settings: SweepSettings, trials: Sequence[TrialRecord]) -> int | None:
    chosen = algorithm(settings.algorithm)
    if chosen.schedule == "hyperband":
        whole = 0
        for bracket in rungs.hyperband(settings.R, settings.nu, settings.epoch_multiplier):
            before = 0
            for count, epochs in bracket.rungs:
                whole += count * (epochs - before)
                before = epochs
        return max(0, whole - epochs_trained(trials))
    if chosen.schedule in ("whole", "median") and settings.epochs is not None:
        return max(0, (settings.max_recommendations - len(trials)) * settings.epochs)
    return None
