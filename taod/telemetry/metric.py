"""The one number that is shown first for a job: the latest value of its metric. Pure."""

from __future__ import annotations

from taod.types.job import Graphical, Kpi, Result

UNSET = "kpi"
"""The metric name that says: none was chosen."""


def latest_value(result: Result, metric: str | None) -> float | None:
    """The metric's finite value of the highest epoch, where the run reports it.

    Metrics come before curves, and a name that is equal before one that is equal but for its case. None where the
    metric is unset or not reported.
    """
    if metric is None or metric == UNSET:
        return None
    reported: list[Kpi | Graphical] = [*result.kpi, *result.graphical]
    exact = [one for one in reported if one.metric == metric]
    folded = [one for one in reported if one.metric != metric and one.metric.casefold() == metric.casefold()]
    for one in (*exact, *folded):
        finite = [(int(step), value) for step, value in one.values.items() if value is not None]
        if finite:
            return max(finite)[1]
    return None
