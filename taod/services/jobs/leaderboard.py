"""Ranks a user's jobs by the best value of one metric."""

from __future__ import annotations

from store import Store
from store.records import JobFilter, JobRecord
from taod.errors import BadRequest
from taod.services.resources import PageRequest
from taod.telemetry.metric import UNSET, values
from taod.types.job import Result
from taod.types.leaderboard import Leaderboard, LeaderboardEntry
from taod.types.metric_direction import lower_is_better


def rank(store: Store, wanted: JobFilter, metric: str | None, page: PageRequest) -> Leaderboard:
    """The jobs that report `metric`, by its best value; of equal ones the newest first.

    None: the main metric of the newest job that reports its own, else the first metric that is reported. Raises
    BadRequest for a metric that none of the jobs reports.
    """
    names: dict[str, None] = {}
    entries: list[LeaderboardEntry] = []
    chosen = metric
    for job, result in store.jobs.results(wanted):
        named = [each.metric for each in result.kpi] + [each.metric for each in result.graphical]
        reported = [name for name in dict.fromkeys(named) if values(result, name)]
        names |= dict.fromkeys(reported)
        if chosen is None:
            chosen = _main(job, result, reported)
        if points := values(result, chosen):
            entries.append(_entry(job, points, lower_is_better(chosen or "")))
    if names and not entries:
        raise BadRequest(f"metric = {metric!r}: none of these jobs reports it; they report {', '.join(names)}")
    falling = lower_is_better(chosen or "")
    entries.sort(key=lambda entry: entry.best, reverse=not falling)
    end = None if page.size is None else page.skip + page.size
    return Leaderboard(chosen if entries else None, falling, list(names), len(entries), entries[page.skip : end])


def _main(job: JobRecord, result: Result, reported: list[str]) -> str | None:
    """The metric that a job is ranked by unless another one is asked for."""
    if job.metric not in (None, UNSET) and values(result, job.metric):
        return job.metric
    return reported[0] if reported else None


def _entry(job: JobRecord, points: dict[int, float], falling: bool) -> LeaderboardEntry:
    epoch, best = (min if falling else max)(sorted(points.items()), key=lambda point: point[1])
    return LeaderboardEntry(
        job_id=job.id,
        owner_kind=job.owner_kind,
        owner_id=job.owner_id,
        owner_name=job.owner_name,
        network=job.network,
        action=job.action,
        state=job.state,
        best=best,
        epoch=epoch,
        last=points[max(points)],
        ended_at=job.ended_at,
        datasets=list(dict.fromkeys(seen.name for seen in job.data)),
        sweep_id=job.sweep_id,
        trial=job.trial,
        release=job.release,
    )
