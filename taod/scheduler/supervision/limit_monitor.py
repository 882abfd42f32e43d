"""Watches over one run's limits: ends it when its time is over, and says when it has gone silent.

The only things here that wait for time are the limits themselves. Times are of the clock that counts from boot, so that
a set wall clock neither ends a run nor lets one go on for ever, and an adopted run keeps the time that it has used.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from runners import processes
from taod.scheduler.context import Ground, Live
from taod.scheduler.supervision.run_limits import STALL, WALL, Limits
from taod.telemetry.telemetry import STATUS_FILE
from taod.types.warning import Warning, WarningCode
from taod.types.warning_text import text

LOOKS = 4
"""So often within the time of a stall the files are looked at."""

log = logging.getLogger(__name__)

Signs = list[tuple[str, int, int]]


async def guard(ground: Ground, live: Live, limits: Limits, end: Callable[[str, str], None]) -> None:
    """Until cancelled. `end` is called with a cause and words when the run is to be ended."""
    async with asyncio.TaskGroup() as tasks:
        if limits.wall_s:
            tasks.create_task(_wall(live, limits.wall_s, end))
        if limits.stall_s:
            tasks.create_task(_stall(ground, live, limits, end))


async def _wall(live: Live, limit_s: float, end: Callable[[str, str], None]) -> None:
    ticks = live.identity.start_ticks
    used = 0.0 if ticks is None else processes.age_s(ticks)
    await asyncio.sleep(max(0.0, limit_s - used))
    end(WALL, f"ended by taod: its time limit of {words(limit_s)} was over (supervision.wall_s)")


async def _stall(ground: Ground, live: Live, limits: Limits, end: Callable[[str, str], None]) -> None:
    """Files that did not change between two looks are silence; how long, the looks tell, not the files' dates."""
    folder = ground.root.job(live.job_id)
    files = [folder.log, folder.results]
    signs, since, told = await asyncio.to_thread(_signs, files), time.monotonic(), False
    while True:
        await asyncio.sleep(limits.stall_s / LOOKS)
        now = await asyncio.to_thread(_signs, files)
        if now != signs:
            signs, since = now, time.monotonic()
            if told:
                told = False
                _tell(ground, live.job_id, None, "It reports again")
        elif not told and time.monotonic() - since >= limits.stall_s:
            told = True
            silence = f"no line of log or status for {words(limits.stall_s)}{await _stopped(live)}"
            stalled = Warning(WarningCode.STALLED, "", {"silence": silence})
            _tell(ground, live.job_id, stalled, text(stalled))
            if limits.kill_stalled:
                end(STALL, f"ended by taod: {silence} (supervision.stall)")


def _tell(ground: Ground, job_id: str, warning: Warning | None, note: str) -> None:
    """In the history, among the warnings (instead of an older one of its kind), and as an event."""
    try:
        ground.store.jobs.note(job_id, note)
        ground.warn(job_id, WarningCode.STALLED, warning)
    except Exception:
        log.exception("that job %s is silent could not be recorded: %s", job_id, note)


async def _stopped(live: Live) -> str:
    """In words: that processes of the run are stopped, which is why nothing comes."""
    identity = live.identity
    if identity.pid is None:
        return ""
    found = await asyncio.to_thread(processes.members, live.request.mark, identity.pid, identity.start_ticks or 0)
    stopped = [pid for pid in found if processes.is_stopped(pid)]
    return f"; pid {', '.join(map(str, stopped))} is stopped (SIGSTOP): `kill -CONT` lets it go on" if stopped else ""


def _signs(files: list[Path]) -> Signs:
    """Size and date of the log and of each status file that lies in the results."""
    log_file, results = files
    found: Signs = []
    for path in (log_file, *results.glob(STATUS_FILE), *results.glob(f"*/{STATUS_FILE}")):
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((str(path), status.st_size, status.st_mtime_ns))
    return found


def words(seconds: float) -> str:
    """A duration as one says it: `90 s`, `30 min`, `2 h`, else `1:02:03`."""
    if seconds < 120:
        return f"{seconds:g} s"
    if seconds % 3600 == 0:
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min" if seconds % 60 == 0 else str(timedelta(seconds=round(seconds)))
