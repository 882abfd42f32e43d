"""The main number of a job: the latest value of its metric. Pure."""

from __future__ import annotations

from taod.types.job import Graphical, Kpi, Result

UNSET = "kpi"
"""The metric name for: none chosen."""


def values(result: Result, metric: str | None) -> dict[int, float]:
    """The metric's finite values by epoch (or iteration); empty if it is unset or not reported.

    Metrics take precedence over curves, and an equal name over one that differs in case.
    """
    if metric is None or metric == UNSET:
        return {}
    reported: list[Kpi | Graphical] = [*result.kpi, *result.graphical]
    exact = [one for one in reported if one.metric == metric]
    folded = [one for one in reported if one.metric != metric and one.metric.casefold() == metric.casefold()]
    for one in (*exact, *folded):
        finite = {int(step): value for step, value in one.values.items() if value is not None}
        if finite:
            return finite
    return {}


def latest_value(result: Result, metric: str | None) -> float | None:
    """The metric's finite value of the highest epoch; None if the metric is unset or not reported."""
    finite = values(result, metric)
    return finite[max(finite)] if finite else None
