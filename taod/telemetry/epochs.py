"""Assigns the values of status lines to epochs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from taod.catalogue.schema.tables import StatusFacts

Values = dict[str, float | None]
"""Epoch (or iteration) as text → value; None for a value that was not finite."""
BEFORE_THE_FIRST = "0"
"""The epoch of values reported before any epoch, as in an evaluation."""


class EpochValues:
    """Keeps values by epoch. An epoch keeps its first value, with `last` its last one.

    `StatusFacts.metrics` describes which epoch the values of a line without an epoch belong to. Values of a coming
    epoch (`before`, `next`) are provisional until that epoch's line confirms them; under `before`, a metric that the
    last epoch lacks is assigned to the last epoch. If lines repeat earlier values (all modes but `own`), values are new
    only in a line without an epoch that differs from the one before, and in the first line of an epoch after such a
    line.
    """

    def __init__(self, facts: StatusFacts, *, last: bool = False) -> None:
        self._order = facts.metrics
        self._last = last
        self._fresh: dict[str, bool] = {}
        """Metric of a line without an epoch → whether it was reported since the last line with an epoch."""
        self._early: dict[str, tuple[Values, str]] = {}
        """Metric → its values, and the provisional step in them that its epoch's line has not confirmed."""
        self._confirmed: set[tuple[str, str]] = set()
        self._latest: dict[str, float | None] = {}

    def keep(
        self, read: Mapping[str, float | None], find: Callable[[str], Values], step: int | None, *, stepped: bool
    ) -> None:
        """Keep a line's values, if any. `step`: the last one reported, None before the first; `stepped`: whether this
        line reported it; `find`: returns the values of a metric, to be changed."""
        if self._order == "own":
            for metric, value in read.items():
                self._set(find(metric), str(step or 0), value)
        elif stepped:
            self._keep_own(read, find, str(step))
        else:
            self._keep_without_epoch(read, find, step)
        self._latest.update(read)

    def _keep_own(self, read: Mapping[str, float | None], find: Callable[[str], Values], step: str) -> None:
        for metric in [metric for metric in self._early if metric in read]:
            values, kept = self._early.pop(metric)
            if kept != step:
                values.pop(kept, None)
            if kept == step or step not in values:
                values[step] = read[metric]
            self._confirmed.add((metric, step))
        self._early.clear()
        for metric, value in read.items():
            fresh = self._fresh.get(metric)
            if fresh is None or (fresh and self._order != "after"):
                self._set(find(metric), step, value)
                self._confirmed.add((metric, step))
        self._fresh = dict.fromkeys(self._fresh, False)

    def _keep_without_epoch(
        self, read: Mapping[str, float | None], find: Callable[[str], Values], step: int | None
    ) -> None:
        self._fresh.update(dict.fromkeys(read, True))
        known = [metric for metric in read if metric in self._latest]
        repeats = all(read[metric] == self._latest[metric] for metric in known)
        for metric, value in read.items():
            if self._order == "after":
                self._set(find(metric), str(step or 0), value)
            elif not (repeats and metric in known):
                coming = step is not None and (self._order == "next" or (metric, str(step)) in self._confirmed)
                self._keep_early(metric, find(metric), str((step or 0) + coming), value)

    def _keep_early(self, metric: str, values: Values, step: str, value: float | None) -> None:
        """Keep a value provisionally for the coming epoch `step`, unless it has one. A value from an earlier reading of
        the same lines becomes provisional again."""
        _, kept = self._early.get(metric, (values, None))
        read_again = (metric, step) not in self._confirmed and values.get(step, value) == value
        if step not in values or kept == step or read_again:
            values[step] = value
            self._early[metric] = (values, step)

    def _set(self, values: Values, step: str, value: float | None) -> None:
        if self._last:
            values[step] = value
        else:
            values.setdefault(step, value)
