"""What differs between jobs: specification, metrics, data, time. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from taod.client.curves import Curves
from taod.types.job import JobDetail, JobResources, JobView

Document = Mapping[str, object]
MISSING = object()
"""No value; null is a value."""


class Row(msgspec.Struct, frozen=True):
    """One property, and its value for each job: text, a number, a list, or null where a job has none."""

    name: str
    values: Sequence[Any]

    @property
    def differs(self) -> bool:
        """Whether not all values are equal."""
        return any(value != self.values[0] for value in self.values)


class Section(msgspec.Struct, frozen=True):
    """Rows of one kind."""

    title: str
    rows: list[Row]


class Curve(msgspec.Struct, frozen=True):
    """One metric of one job over its epochs."""

    metric: str
    job: str
    epochs: list[int]
    values: list[float]


class Comparison(msgspec.Struct, frozen=True):
    """Jobs side by side: their headings, and sections of rows in the same order."""

    jobs: list[str]
    sections: list[Section]
    curves: list[Curve] = []


def flat(document: Document, path: str = "") -> dict[str, object]:
    """Values by dotted path; groups are flattened, lists are not."""
    values: dict[str, object] = {}
    for name, value in document.items():
        at = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping) and value:
            values |= flat(value, at)
        else:
            values[at] = value
    return values


def differences(*documents: Document) -> list[tuple[str, list[object]]]:
    """Path and all values of each parameter that differs; MISSING for an absent value."""
    flattened = [flat(document) for document in documents]
    paths = dict.fromkeys(path for values in flattened for path in values)
    rows = ((path, [values.get(path, MISSING) for values in flattened]) for path in paths)
    return [(path, values) for path, values in rows if any(value != values[0] for value in values)]


def compare(details: Sequence[JobDetail]) -> Comparison:
    """The jobs side by side; of the specifications and data only what differs."""
    views = [detail.job for detail in details]
    curves = [Curves.from_job(view) for view in views]
    metrics = list(dict.fromkeys(metric for each in curves for metric in each.metrics))
    sections = [
        Section("jobs", _about(views) + _used(details)),
        Section("metrics", [row for metric in metrics for row in _metric(metric, curves)]),
        Section("data", _data(details)),
        Section("specification", _specification(details)),
    ]
    names = headings(views)
    drawn = [
        Curve(metric, name, *each.series(metric))
        for metric in metrics
        for name, each in zip(names, curves, strict=True)
        if each.points.get(metric)
    ]
    return Comparison(names, [section for section in sections if section.rows], drawn)


def headings(views: Sequence[JobView]) -> list[str]:
    """A short name for each job: the owner's name, with the job's id."""
    return [f"{view.owner_name or view.network} {view.id[:8]}".strip() for view in views]


def _about(views: Sequence[JobView]) -> list[Row]:
    rows: dict[str, list[object]] = {
        "network": [view.network for view in views],
        "action": [view.action for view in views],
        "release": [view.release for view in views],
        "state": [view.state.value for view in views],
        "epoch": [view.result.epoch for view in views],
        "started": [view.started_at for view in views],
        "duration in s": [duration_s(view) for view in views],
        "devices": [", ".join(view.devices) or None for view in views],
        "attempts": [view.attempt for view in views],
    }
    return [Row(name, values) for name, values in rows.items() if any(value is not None for value in values)]


def _used(details: Sequence[JobDetail]) -> list[Row]:
    """Energy and peaks of memory; of energy of shared devices the fact."""
    used = [detail.resources or JobResources() for detail in details]
    rows: dict[str, list[object]] = {
        "energy in Wh": [None if each.energy_wh is None else round(each.energy_wh, 3) for each in used],
        "energy of a shared device": [each.energy_shared or None for each in used],
        "peak memory in GB": [_gb(each.peak_rss_bytes) for each in used],
        "peak GPU memory in GB": [_gb(each.peak_gpu_memory_bytes) for each in used],
    }
    return [Row(name, values) for name, values in rows.items() if any(value is not None for value in values)]


def _gb(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else round(size_bytes / 1e9, 3)


def duration_s(view: JobView) -> float | None:
    """Seconds from the last start to the end; None before the end."""
    if view.started_at is None or view.ended_at is None:
        return None
    span = datetime.fromisoformat(view.ended_at) - datetime.fromisoformat(view.started_at)
    return round(span.total_seconds(), 1)


def _metric(metric: str, curves: Sequence[Curves]) -> list[Row]:
    best = [each.best(metric) for each in curves]
    last = [values[-1] if (values := each.series(metric)[1]) else None for each in curves]
    if all(len(each.points.get(metric, {})) <= 1 for each in curves):
        return [Row(metric, last)]
    return [
        Row(f"{metric}, best", [point and point[1] for point in best]),
        Row(f"{metric}, best epoch", [point and point[0] for point in best]),
        Row(f"{metric}, last", last),
    ]


def _data(details: Sequence[JobDetail]) -> list[Row]:
    """Datasets by role: the name, and the fingerprint where those of one role differ."""
    rows: list[Row] = []
    for role in dict.fromkeys(seen.role for detail in details for seen in detail.data):
        of_role = [[seen for seen in detail.data if seen.role == role] for detail in details]
        rows.append(Row(role, [", ".join(seen.name for seen in used) or None for used in of_role]))
        content = Row(
            f"{role}, fingerprint",
            [", ".join((seen.fingerprint or "?")[:12] for seen in used) or None for used in of_role],
        )
        rows += [content] if content.differs else []
    return rows


def _specification(details: Sequence[JobDetail]) -> list[Row]:
    found = differences(*(detail.spec or {} for detail in details))
    return [Row(path, [None if value is MISSING else value for value in values]) for path, values in found]
