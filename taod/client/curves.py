"""Metrics of a job over its epochs, from its result and later status lines. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from taod.types.event import StatusUpdate
from taod.types.job import JobView, Result
from taod.types.metric_direction import lower_is_better

Points = dict[int, float]


@dataclass
class Curves:
    """Values by metric and epoch. The first value of an epoch is kept, as the daemon does."""

    main: str | None = None
    points: dict[str, Points] = field(default_factory=dict)

    @classmethod
    def from_job(cls, view: JobView) -> Curves:
        """The curves of a job's result."""
        curves = cls(view.metric)
        curves._read(view.result)
        return curves

    def _read(self, result: Result) -> None:
        named = [(curve.metric, curve.values) for curve in result.kpi]
        named += [(curve.metric, curve.values) for curve in result.graphical]
        for metric, values in named:
            for epoch, value in values.items():
                self._add(metric, epoch, value)

    def feed(self, update: StatusUpdate) -> bool:
        """Add the values of a status line. Returns whether a curve grew."""
        if update.epoch is None:
            return False
        grew = False
        values: Mapping[str, float | None]
        for values in (update.kpi, update.graphical):
            for metric, value in values.items():
                grew = self._add(metric, str(update.epoch), value) or grew
        return grew

    def _add(self, metric: str, epoch: str, value: float | None) -> bool:
        try:
            at = int(float(epoch))
        except ValueError:
            return False
        curve = self.points.setdefault(metric, {})
        if at in curve or value is None or not math.isfinite(value):
            return False
        curve[at] = value
        return True

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that have values, the main one first."""
        named = [metric for metric, points in self.points.items() if points]
        return sorted(named, key=lambda metric: metric != self.main)

    def series(self, metric: str) -> tuple[list[int], list[float]]:
        """Epochs in order, and the value at each."""
        points = sorted(self.points.get(metric, {}).items())
        return [epoch for epoch, _ in points], [value for _, value in points]

    def best(self, metric: str) -> tuple[int, float] | None:
        """Epoch and value of the best point."""
        points = self.points.get(metric)
        if not points:
            return None
        chosen = min if lower_is_better(metric) else max
        return chosen(points.items(), key=lambda point: point[1])
