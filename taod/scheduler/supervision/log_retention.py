"""Deletes the logs of jobs that ended `log_keep_days` ago, at the start and then once a day."""

from __future__ import annotations

import asyncio
import logging

from taod.clock import iso
from taod.scheduler.context import SchedulerContext

DAY_S = 86_400.0

log = logging.getLogger(__name__)


async def keep_logs(context: SchedulerContext) -> None:
    """Delete old logs daily until cancelled; returns at once if all logs are kept."""
    days = context.supervision.log_keep_days
    while days:
        try:
            old = context.store.jobs.ended_before(iso(context.clock.time() - days * DAY_S))
            deleted = await asyncio.to_thread(_delete, context, old)
            if deleted:
                log.info("%d logs of jobs that ended more than %d days ago were deleted", deleted, days)
        except Exception:
            log.exception("old logs could not be deleted")
        await asyncio.sleep(DAY_S)


def _delete(context: SchedulerContext, job_ids: list[str]) -> int:
    deleted = 0
    for job_id in job_ids:
        try:
            context.root.job(job_id).log.unlink()
        except FileNotFoundError:
            continue
        deleted += 1
    return deleted
