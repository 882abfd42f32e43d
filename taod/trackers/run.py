"""A run as trackers get it: what the store has of a job, its metrics as points, its specification and result as texts.
Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec

from taod.catalogue.network import get
from taod.catalogue.schema.merge import over_default
from taod.documents import write_yaml
from taod.masking import MASK, is_secret_name
from taod.types.job import JobResources, Result

Points = dict[str, dict[int, float | None]]
"""Metric → step (an epoch or iteration) → value; None if it was not finite."""
_UNUSUAL = re.compile(r"[^\w.() -]+")
_LONGEST_NAME = 80


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One job: all of its attempts are one run of a tracker, as they continue each other."""

    id: str
    owner_id: str
    owner_name: str
    network: str
    action: str
    release: str
    state: str
    reason: str
    complete: bool
    """Whether it has ended or is paused, so that all its values are final."""
    attempt: int
    created_on: str
    started_at: str | None = None
    ended_at: str | None = None
    sweep_id: str | None = None
    """The job of its sweep, if it is a trial."""
    sweep_action: str = ""
    trial: int | None = None
    metric: str | None = None
    metric_value: float | None = None
    spec: dict[str, object] | None = None
    """The specification as stored, over the defaults of its action."""
    result: Result = msgspec.field(default_factory=Result)
    resources: JobResources | None = None


class Tracker(Protocol):
    """Keeps runs. Lives in a process of its own, so that it may block."""

    def write(self, run: Run) -> None:
        """Bring what the tracker has of this run to what is given: a new run, further points, the end.

        What it has already is found in the tracker itself, so that a call that was interrupted may be repeated. Raises
        OSError if it cannot be written now.
        """
        ...


def points(run: Run) -> Points:
    """The metrics and curves of a run, as `metrics/…` and `curves/…`."""
    found = [(f"metrics/{kpi.metric}", kpi.values) for kpi in run.result.kpi]
    found += [(f"curves/{curve.metric}", curve.values) for curve in run.result.graphical]
    return {name: {int(step): value for step, value in values.items()} for name, values in found if values}


def specification(run: Run) -> dict[str, object]:
    """The complete specification, the job's over the defaults, with the encryption key masked; empty without one."""
    network = get(run.network, run.release)
    if run.spec is None or network is None or run.action not in network.actions:
        return _masked(run.spec or {})
    return _masked(over_default(network, run.action, run.spec))


def _masked(document: Mapping[str, object]) -> dict[str, object]:
    return {
        name: _masked(value) if isinstance(value, Mapping) else MASK if value and is_secret_name(str(name)) else value
        for name, value in document.items()
    }


def specification_text(run: Run) -> str:
    """The complete specification as YAML; empty without one."""
    found = specification(run)
    return write_yaml(found) if found else ""


def flat(document: Mapping[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    """Each value of a specification with its dotted path; lists are values."""
    for name, value in document.items():
        at = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping) and value:
            yield from flat(value, at)
        else:
            yield at, value


def about(run: Run) -> dict[str, str]:
    """What became of the run, as texts by name, in the order of reading."""
    result = run.result
    found = {
        "job": run.id,
        "network": run.network,
        "action": run.action,
        "release": run.release,
        "state": run.state,
        "reason": run.reason,
        "attempts": str(run.attempt) if run.attempt else "",
        "epoch": "" if result.epoch is None else f"{result.epoch} of {result.max_epoch or result.epoch}",
        "started": run.started_at or "",
        "ended": run.ended_at or "",
    }
    if (used := run.resources) is not None:
        found["energy"] = used.energy or ""
        for name, most in (("memory", used.peak_rss_bytes), ("GPU memory", used.peak_gpu_memory_bytes)):
            found[f"peak {name}"] = "" if most is None else f"{most / 1e9:.2f} GB"
    found |= {each.metric: each.value for each in result.stats}
    return {name: value for name, value in found.items() if value}


def finals(run: Run) -> dict[str, float | None]:
    """The last value of each metric, the main one first; those of the best trial, and those by category."""
    result = run.result
    found: dict[str, float | None] = {}
    if run.metric is not None and run.metric_value is not None:
        found[run.metric] = run.metric_value
    found |= {kpi.metric: kpi.values[max(kpi.values, key=int)] for kpi in result.kpi if kpi.values}
    found |= {f"best trial: {each.metric}": each.value for each in result.automl_result}
    for each in result.categorical:
        found |= {f"{each.metric} of {one.category}": one.value for one in each.category_wise_values}
    return found


def folder_name(text: str, id: str) -> str:
    """A name of a folder for a thing with this name, or kind, and id."""
    return f"{_UNUSUAL.sub('_', text).strip(' .')[:_LONGEST_NAME] or 'run'}-{id[:8]}"
