"""Tables of jobs, and the full view of one job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taod.cli.support.output import Columns, Output, moment, number, short, size
from taod.types.job import HistoryEntry, Job, JobDetail, JobView, Kpi
from taod.types.leaderboard import Leaderboard, LeaderboardEntry
from taod.types.state import State, Status
from taod.types.tool import tool_of
from taod.types.warning_text import text

if TYPE_CHECKING:
    from rich.text import Text

COLOURS = {
    State.DONE: "green",
    State.FAILED: "red",
    State.CANCELLED: "yellow",
    State.RUNNING: "cyan",
    State.PAUSED: "magenta",
    Status.DONE: "green",
    Status.ERROR: "red",
    Status.RUNNING: "cyan",
}


def coloured(state: State | Status) -> Text:
    from rich.text import Text

    return Text(state.value, COLOURS.get(state, ""))


def first_line(message: str) -> str:
    """The first line of a message, for tables; `show` prints all lines."""
    return message.partition("\n")[0]


def _epoch(job: Job | JobView) -> str:
    result = job.reported if isinstance(job, Job) else job.result
    return f"{result.epoch}/{result.max_epoch or '?'}" if result.epoch is not None else ""


def _metric(view: JobView) -> str:
    return f"{view.metric} {view.metric_value:.4g}" if view.metric_value is not None else ""


VIEWS: Columns[JobView] = {
    "job": lambda view: short(view.id),
    "owner": lambda view: view.owner_name,
    "action": lambda view: view.action,
    "state": lambda view: coloured(view.state),
    "epoch": _epoch,
    "metric": _metric,
    "position": lambda view: "" if view.position is None else str(view.position),
    "reason": lambda view: first_line(view.reason),
}
JOBS: Columns[Job] = {
    "job": lambda job: short(job.id),
    "action": lambda job: job.action,
    "status": lambda job: coloured(job.status),
    "epoch": _epoch,
    "created": lambda job: moment(job.created_on),
    "message": lambda job: first_line(status.message) if (status := job.reported.detailed_status) is not None else "",
}
HISTORY: Columns[HistoryEntry] = {
    "at": lambda entry: moment(entry.at),
    "state": lambda entry: coloured(entry.state),
    "reason": lambda entry: entry.reason,
}


def _last(kpi: Kpi) -> str:
    values = [value for value in kpi.values.values() if value is not None]
    return f"{values[-1]:.6g}" if values else ""


KPIS: Columns[Kpi] = {"KPI": lambda kpi: kpi.metric, "last value": _last, "epochs": lambda kpi: str(len(kpi.values))}


def show(out: Output, detail: JobDetail) -> None:
    """Print one job without its specification."""
    job, process, used = detail.job, detail.process, detail.resources
    out.pairs(
        [
            ("job", job.id),
            ("action", job.action),
            ("state", coloured(job.state)),
            ("reason", job.reason),
            ("owner", f"{job.owner_kind} {job.owner_name} ({short(job.owner_id)}), {job.network}"),
            ("parent", job.parent_id),
            ("children", detail.children),
            ("priority", job.priority),
            ("position", job.position),
            ("created", moment(job.created_on)),
            ("started", moment(job.started_at)),
            ("ended", moment(job.ended_at)),
            ("epoch", _epoch(job)),
            ("eta", job.result.eta),
            ("metric", _metric(job)),
            *((stat.metric, stat.value) for stat in job.result.stats),
            ("runner", job.runner),
            ("release", job.release),
            ("tool", process and tool_of(process.environment)),
            ("devices", job.devices),
            ("attempts", job.attempt),
            ("energy", used and used.energy),
            ("peak memory", used and size(used.peak_rss_bytes)),
            ("peak GPU memory", used and size(used.peak_gpu_memory_bytes)),
            ("command", process and " ".join(process.command)),
            ("pid", process and process.pid),
            ("exit code", process and process.exit_code),
            ("folder", detail.folder),
            ("warnings", "\n".join(map(text, detail.warnings))),
        ]
    )
    for rows, columns in ((job.result.kpi, KPIS), (detail.history, HISTORY)):
        if rows:
            out.print_sentence("")
            out.table(rows, columns)


def with_jobs(jobs: list[Job]) -> str:
    """A clause about the jobs that are deleted with their owner; empty without jobs."""
    if not jobs:
        return ""
    active = sum(job.status in (Status.PENDING, Status.RUNNING) for job in jobs)
    cancelled = f" ({active} not ended: cancelled first)" if active else ""
    return f", and {number(len(jobs), 'job')} with their files{cancelled}"


def ranking(out: Output, found: Leaderboard) -> None:
    """Print a page of ranked jobs, and by which metrics they can be ranked."""
    numbers = {entry.job_id: at for at, entry in enumerate(found.entries, 1)}
    columns: Columns[LeaderboardEntry] = {
        "rank": lambda entry: str(numbers[entry.job_id]),
        "job": lambda entry: short(entry.job_id),
        "owner": lambda entry: entry.owner_name,
        "trial": lambda entry: "" if entry.trial is None else str(entry.trial),
        "network": lambda entry: entry.network,
        "action": lambda entry: entry.action,
        f"{found.metric}, best": lambda entry: f"{entry.best:.5g}",
        "epoch": lambda entry: str(entry.epoch or ""),
        "last": lambda entry: f"{entry.last:.5g}",
        "state": lambda entry: coloured(entry.state),
        "data": lambda entry: ", ".join(entry.datasets),
    }
    out.table(found.entries, columns)
    if found.metric is not None:
        order = "lower" if found.lower_is_better else "higher"
        out.print_sentence(f"By {found.metric}, {order} is better; --metric takes {', '.join(found.metrics)}.")
    if found.total > len(found.entries):
        out.print_sentence(f"{found.total - len(found.entries)} more; --size {found.total} shows all.")
