"""Order and grouping of the list of jobs. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from taod.types.job import JobView
from taod.types.metric_direction import lower_is_better
from tui.header import ORDER

_RANK = {state: rank for rank, state in enumerate(ORDER)}


def _newest(view: JobView) -> Any:
    return view.created_on, view.id


def _progress(view: JobView) -> float:
    return (view.result.epoch or 0) / view.result.max_epoch if view.result.max_epoch else -1.0


def _metric(view: JobView) -> float:
    """The metric's value, negated if lower is better."""
    value = view.metric_value
    if value is None or not math.isfinite(value):
        return -math.inf
    return -value if lower_is_better(view.metric or "") else value


KEYS: dict[str, tuple[Callable[[JobView], Any], bool]] = {
    "age": (_newest, True),
    "word": (lambda view: _RANK[view.state], False),
    "action": (lambda view: view.action, False),
    "model": (lambda view: view.owner_name.casefold(), False),
    "network": (lambda view: view.network, False),
    "progress": (_progress, True),
    "value": (_metric, True),
    "device": (lambda view: (not view.devices, view.devices), False),
}
"""By column: sort key, and whether the largest comes first."""
NAMES = {
    "age": "age", "word": "state", "action": "action", "model": "model", "network": "network",
    "progress": "progress", "value": "metric", "device": "device",
}  # fmt: skip
"""Name of each order."""
SAME = {"state": "word", "id": "age", "metric": "value"}
"""Columns that are ordered by another column."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A row that is not a job: the owner of the following jobs, and their number."""

    name: str
    network: str
    jobs: int


Row = str | Heading
"""A job's id, or a heading."""


@dataclass(frozen=True, slots=True)
class Order:
    """Order by a column, optionally reversed and grouped by owner. The default is the daemon's order."""

    column: str = "age"
    is_reversed: bool = False
    grouped: bool = False

    @property
    def is_default(self) -> bool:
        """Whether it is the order in which the daemon returns pages."""
        return self == Order()

    @property
    def largest_first(self) -> bool:
        return KEYS[self.column][1] is not self.is_reversed

    def by(self, column: str) -> Order:
        """The order by this column; reversed if it is the present column."""
        column = SAME.get(column, column)
        return replace(self, column=column, is_reversed=column == self.column and not self.is_reversed)

    def after(self, columns: Iterable[str]) -> Order:
        """The order by the next of these columns that has a sort key."""
        known = [column for column in columns if column in KEYS]
        at = known.index(self.column) if self.column in known else -1
        return replace(self, column=known[(at + 1) % len(known)], is_reversed=False)

    def regrouped(self) -> Order:
        return replace(self, grouped=not self.grouped)


def arranged(views: Mapping[str, JobView], order: Order) -> list[Row]:
    """All jobs as rows, trials below their sweep. Ties are ordered newest first."""
    key, _ = KEYS[order.column]
    found = sorted(views.values(), key=_newest, reverse=True)
    if order.column != "age" or order.is_reversed:
        found.sort(key=key, reverse=order.largest_first)
    found = _trials_below(found, views)
    if not order.grouped:
        return [view.id for view in found]
    groups: dict[str, list[JobView]] = {}
    for view in found:
        groups.setdefault(view.owner_id, []).append(view)
    rows: list[Row] = []
    for members in groups.values():
        rows.append(Heading(members[0].owner_name, members[0].network, len(members)))
        rows.extend(view.id for view in members)
    return rows


def _trials_below(found: list[JobView], views: Mapping[str, JobView]) -> list[JobView]:
    """Move trials below their sweep if it is listed, keeping their order."""
    trials: dict[str, list[JobView]] = {}
    for view in found:
        if view.sweep_id is not None and view.sweep_id in views:
            trials.setdefault(view.sweep_id, []).append(view)
    if not trials:
        return found
    return [
        each
        for view in found
        if view.sweep_id is None or view.sweep_id not in views
        for each in (view, *trials.get(view.id, ()))
    ]
