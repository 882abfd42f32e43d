"""Decides which epoch the values of a status line belong to, and keeps them there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from taod.catalogue.schema.tables import StatusFacts

Values = dict[str, float | None]
"""Epoch (or iteration) as text → value; None where it was not finite."""
BEFORE_THE_FIRST = "0"
"""The epoch of values that came before any epoch was reported, as in an evaluation."""


class EpochValues:
    """Keeps values by epoch. An epoch's first value wins, with `last` its last one.

    What `facts.metrics` means for a line without an epoch is written there. Where such values belong to a coming epoch
    (`before`, `next`) they are kept provisionally until that epoch's line confirms them; under `before` a metric that
    the last epoch lacks is taken for that one's. Where lines repeat what was written once (all but `own`), values are
    new only in a line without an epoch that differs from what came before it, and in the first line of an epoch after
    such a line.
    """

    def __init__(self, facts: StatusFacts, *, last: bool = False) -> None:
        self._order = facts.metrics
        self._last = last
        self._fresh: dict[str, bool] = {}
        """Metrics of lines without an epoch, and whether they came since the last line with one."""
        self._early: dict[str, tuple[Values, str]] = {}
        """Metric → its values, and the step in them that the line of its epoch has yet to confirm."""
        self._confirmed: set[tuple[str, str]] = set()
        self._latest: dict[str, float | None] = {}

    def keep(
        self, read: Mapping[str, float | None], find: Callable[[str], Values], step: int | None, *, stepped: bool
    ) -> None:
        """Keep a line's values, which may be none. `step`: the last one reported, None before the first; `stepped`:
        this line reported it; `find`: where a metric's values are kept."""
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
        """Keep a value for a coming epoch under `step`, unless that has one already. What an earlier reading of the
        same lines kept there is provisional again."""
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
