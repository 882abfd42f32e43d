"""Order and grouping of the list of jobs. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from taod.types.job import JobView
from tui.header import ORDER
from tui.job.curves import falls

_RANK = {state: rank for rank, state in enumerate(ORDER)}


def _newest(view: JobView) -> Any:
    return view.created_on, view.id


def _progress(view: JobView) -> float:
    return (view.result.epoch or 0) / view.result.max_epoch if view.result.max_epoch else -1.0


def _metric(view: JobView) -> float:
    """Better is more, whatever the metric."""
    value = view.metric_value
    if value is None or not math.isfinite(value):
        return -math.inf
    return -value if falls(view.metric or "") else value


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
"""What orders are called."""
SAME = {"state": "word", "id": "age", "metric": "value"}
"""Columns that stand for another."""


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
    """By a column, turned around or not; by model or not. The daemon's own order is the default."""

    column: str = "age"
    turned: bool = False
    grouped: bool = False

    @property
    def natural(self) -> bool:
        """Whether it is the order in which the daemon gives pages."""
        return self == Order()

    @property
    def largest_first(self) -> bool:
        return KEYS[self.column][1] is not self.turned

    def by(self, column: str) -> Order:
        """By this column; by it already: turned around."""
        column = SAME.get(column, column)
        return replace(self, column=column, turned=column == self.column and not self.turned)

    def after(self, columns: Iterable[str]) -> Order:
        """By the next of these columns that jobs can be ordered by."""
        known = [column for column in columns if column in KEYS]
        at = known.index(self.column) if self.column in known else -1
        return replace(self, column=known[(at + 1) % len(known)], turned=False)

    def regrouped(self) -> Order:
        return replace(self, grouped=not self.grouped)


def arranged(views: Mapping[str, JobView], order: Order) -> list[Row]:
    """All jobs as rows, trials below their sweep. Jobs that are equal by the column come newest first."""
    key, _ = KEYS[order.column]
    found = sorted(views.values(), key=_newest, reverse=True)
    if order.column != "age" or order.turned:
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
    """Trials follow their sweep, in the order that they have among themselves, where it is in the list."""
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
