"""Monitors one run's limits: ends it at its time limit, and reports or ends it when it stalls.

Times count from boot, so that setting the wall clock has no effect and a re-adopted run keeps its elapsed time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from runners import processes
from taod.scheduler.context import ActiveRun, SchedulerContext
from taod.scheduler.supervision.run_limits import STALL, WALL, Limits
from taod.telemetry.telemetry import STATUS_FILE
from taod.types.reason import Reason, ReasonCode, noted
from taod.types.warning import Warning, WarningCode

CHECKS_PER_STALL = 4
"""Number of checks of the files within `stall_s`."""

log = logging.getLogger(__name__)

Signs = list[tuple[str, int, int]]


async def monitor_limits(
    context: SchedulerContext, live: ActiveRun, limits: Limits, end: Callable[[str, Reason], None]
) -> None:
    """Monitor until cancelled. Calls `end` with a cause and a reason to end the run."""
    try:
        async with asyncio.TaskGroup() as tasks:
            if limits.wall_s:
                tasks.create_task(_wall(live, limits.wall_s, end))
            if limits.stall_s:
                tasks.create_task(_stall(context, live, limits, end))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _wall(live: ActiveRun, limit_s: float, end: Callable[[str, Reason], None]) -> None:
    ticks = live.identity.start_ticks
    used = 0.0 if ticks is None else processes.age_s(ticks)
    await asyncio.sleep(max(0.0, limit_s - used))
    end(WALL, Reason(ReasonCode.TIME_LIMIT, {"limit_s": limit_s}))


async def _stall(
    context: SchedulerContext, live: ActiveRun, limits: Limits, end: Callable[[str, Reason], None]
) -> None:
    """Report, and maybe end, a run whose log and status files do not change for `stall_s`."""
    folder = context.root.job(live.job_id)
    files = [folder.log, folder.results]
    recorded = _is_reported(context, live.job_id)  # by an earlier daemon, about this attempt
    signs, since, reported = await asyncio.to_thread(_signs, files), time.monotonic(), False
    while True:
        await asyncio.sleep(limits.stall_s / CHECKS_PER_STALL)
        now = await asyncio.to_thread(_signs, files)
        if now != signs:
            signs, since = now, time.monotonic()
            if reported or recorded:
                reported = recorded = False
                _report(context, live.job_id, None, Reason(ReasonCode.REPORTS_AGAIN))
        elif not reported and time.monotonic() - since >= limits.stall_s:
            reported = True
            silence = {"limit_s": limits.stall_s, "stopped": await _stopped(live)}
            stalled = Warning(WarningCode.STALLED, "", silence)
            if not recorded:
                _report(context, live.job_id, stalled, noted(stalled))
            if limits.kill_stalled:
                end(STALL, Reason(ReasonCode.STALLED, silence))


def _report(context: SchedulerContext, job_id: str, warning: Warning | None, note: Reason) -> None:
    """Add the note to the history, replace the job's warning of this kind, notify, and publish the job."""
    try:
        with context.store.transaction():
            context.store.jobs.note(job_id, note)
            job = context.warn(job_id, WarningCode.STALLED, warning)
            if warning is not None:
                context.outbox.stalled(job, warning)
        context.publish(job)
    except Exception:
        log.exception("the stall of job %s could not be recorded: %s", job_id, note.code)


def _is_reported(context: SchedulerContext, job_id: str) -> bool:
    """Whether the job's present attempt has a warning that it is stalled; a start removes that of the last one."""
    job = context.store.jobs.get(job_id)
    return job is not None and any(one.code is WarningCode.STALLED for one in job.warnings)


async def _stopped(live: ActiveRun) -> list[int]:
    """The pids of the run's processes that are stopped by a signal, which explains a stall."""
    identity = live.identity
    if identity.pid is None:
        return []
    found = await asyncio.to_thread(processes.members, live.request.mark, identity.pid, identity.start_ticks or 0)
    return [pid for pid in found if processes.is_stopped(pid)]


def _signs(files: list[Path]) -> Signs:
    """(path, size, mtime in ns) of the log and of each status file in the results."""
    log_file, results = files
    found: Signs = []
    for path in (log_file, *results.glob(STATUS_FILE), *results.glob(f"*/{STATUS_FILE}")):
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((str(path), status.st_size, status.st_mtime_ns))
    return found
