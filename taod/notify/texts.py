"""The texts of notifications: a subject of one line and a few lines of body, without control characters. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from store.records import JobRecord
from taod.clock import seconds_of
from taod.terminal import in_line
from taod.types import reason_text, warning_text
from taod.types.job import Result
from taod.types.reason import Reason
from taod.types.state import State
from taod.types.warning import Warning

SUBJECT, LINE, REASON_LINES, METRICS = 150, 300, 4, 4
"""Most characters of a subject and of a line, lines of a reason, and metrics."""


class Text(msgspec.Struct, frozen=True):
    subject: str
    body: str


def ended(host: str, job: JobRecord, result: Result) -> Text:
    """A job that is done or has failed."""
    if job.state is State.DONE:
        lines = [*_metrics(job, result), *([f"took {time}"] if (time := _duration(job)) else [])]
        return _text(host, f"{_what(job)} is done", _about(job), lines, f"taod job show {job.id}")
    why = job.reason_text.splitlines()[:REASON_LINES]
    time = _duration(job)
    return _text(
        host,
        f"{_what(job)} failed",
        _about(job),
        [*why, *([f"after {time}"] if time else [])],
        f"taod job log {job.id} --tail 50",
    )


def stalled(host: str, job: JobRecord, warning: Warning) -> Text:
    """A run without output."""
    return _text(
        host,
        f"{_what(job)} is stalled",
        _about(job),
        [warning_text.text(warning)],
        f"taod job log {job.id} --tail 50",
    )


def device_lost(host: str, job: JobRecord, reason: Reason) -> Text:
    """A run whose GPU was lost."""
    why = reason_text.text(reason).splitlines()[:1]
    return _text(host, f"{_what(job)} lost its device", _about(job), why, "taod device ls")


def sweep_best(host: str, job: JobRecord, metric: str, value: float, trial: int, before: float | None) -> Text:
    """A trial that is better than all before."""
    change = f"{metric} {value:.6g} in trial {trial}" + ("" if before is None else f", before {before:.6g}")
    subject = f"{_what(job)} has a new best: {metric} {value:.6g}"
    return _text(host, subject, _about(job), [change], f"taod sweep show {job.id}")


def disk_full(host: str, folder: str, free_bytes: int) -> Text:
    """A disk that is nearly full."""
    free = f"{free_bytes / 1024**3:.1f} GiB"
    lines = ["Checkpoints and datasets are large; delete some, or move the root."]
    return _text(host, f"the disk is nearly full: {free} free", f"disk of {folder}", lines, "taod doctor")


def test(host: str, target: str) -> Text:
    """A test message."""
    return _text(host, "test notification", f"for the target {target}", [], "taod notify ls")


def _text(host: str, subject: str, about: str, lines: Iterable[str], command: str) -> Text:
    body = [_cut(line, LINE) for line in (about, *lines, command)]
    return Text(_cut(f"taod on {host}: {subject}", SUBJECT), "\n".join(body))


def _what(job: JobRecord) -> str:
    trial = "" if job.trial is None else f" (trial {job.trial})"
    return f"{job.action} of {job.owner_name or job.network}{trial}"


def _about(job: JobRecord) -> str:
    return f"{job.network} {job.action}, {job.owner_kind} {job.owner_name}, job {job.id}"


def _metrics(job: JobRecord, result: Result) -> Sequence[str]:
    """The last values of a job's metrics, its main one first; empty without any."""
    last: dict[str, float | None] = {kpi.metric: [*kpi.values.values()][-1] for kpi in result.kpi if kpi.values}
    if job.metric is not None and job.metric_value is not None:
        last[job.metric] = job.metric_value
    ordered = sorted(last, key=lambda name: name != job.metric)
    shown = [f"{name} {value:.6g}" for name in ordered if (value := last[name]) is not None][:METRICS]
    return [", ".join(shown)] if shown else []


def _duration(job: JobRecord) -> str:
    """From the start of its last run to its end; empty if it has never started."""
    if job.started_at is None or job.ended_at is None:
        return ""
    return warning_text.duration(round(max(0.0, seconds_of(job.ended_at) - seconds_of(job.started_at))))


def _cut(text: str, most: int) -> str:
    safe = in_line(text)
    return safe if len(safe) <= most else safe[: most - 1] + "…"
