"""What a sweep tells of itself: the result of its job as the reference has it, and the words of its state. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from store.records import SweepRecord, TrialRecord
from taod.automl import rungs
from taod.automl.algorithms import algorithm
from taod.automl.schedule import best, epochs_trained, score
from taod.types.job import AutomlFigure, DetailedStatus, Result, Stat
from taod.types.sweep import SweepSettings


def planned(settings: SweepSettings) -> int:
    """How many trials there will be, if nothing ends the sweep before."""
    if algorithm(settings.algorithm).schedule == "hyperband":
        return sum(
            bracket.rungs[0][0] for bracket in rungs.hyperband(settings.R, settings.nu, settings.epoch_multiplier)
        )
    return settings.max_recommendations


def result(sweep: SweepRecord, trials: Sequence[TrialRecord], of_best: Result | None, seconds: float) -> Result:
    """The result of the sweep's job: the best trial's figures, `automl_result` and `stats`."""
    settings = sweep.settings
    first = best(trials, settings)
    told = Result(detailed_status=DetailedStatus(status="RUNNING", message=progress(settings, trials)))
    if of_best is not None:
        told = msgspec.structs.replace(
            told,
            kpi=of_best.kpi,
            graphical=of_best.graphical,
            categorical=of_best.categorical,
            epoch=of_best.epoch,
            max_epoch=of_best.max_epoch,
            time_per_epoch=of_best.time_per_epoch,
        )
    if first is not None:
        told.automl_result = [
            AutomlFigure(f"best_{settings.metric}", score(first, settings)),
            AutomlFigure("best_experiment", float(first.number)),
        ]
    ended = [trial for trial in trials if trial.outcome != "open"]
    left = max(0, planned(settings) - len(ended))
    stats = {
        "Current experiment number": str(len(trials) - 1 if trials else 0),
        "Number of experiments done": f"{len(ended)} of {planned(settings)}",
        "Number of experiments failed": str(sum(1 for trial in ended if trial.outcome == "failed")),
        "Number of epochs trained": str(epochs_trained(trials)),
        "Algorithm": settings.algorithm,
    }
    if ended:
        told.eta = clock(seconds / len(ended) * left)
        stats["Estimated time for automl completion"] = told.eta
    if (to_go := _epochs_to_start(settings, trials)) is not None:
        stats["Number of epochs yet to start"] = str(to_go)
    told.stats = [Stat(name, text) for name, text in stats.items()]
    return told


def progress(settings: SweepSettings, trials: Sequence[TrialRecord]) -> str:
    """How far it is, in a sentence."""
    ended = sum(1 for trial in trials if trial.outcome != "open")
    first = best(trials, settings)
    so_far = ""
    if first is not None and (value := score(first, settings)) is not None:
        so_far = f"; best {settings.metric} {value:.6g} (experiment {first.number})"
    return f"{ended} of {planned(settings)} experiments done{so_far}"


def common_cause(trials: Sequence[TrialRecord]) -> str:
    """Why all trials failed: what most of them say."""
    said = Counter(trial.reason.strip().splitlines()[0] for trial in trials if trial.reason.strip())
    if not said:
        return "no experiment was done"
    (words, count), *_ = said.most_common(1)
    return f"all {len(trials)} experiments failed, {count} of them so: {words}"


def clock(seconds: float) -> str:
    """As the tools write times: H:MM:SS."""
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
