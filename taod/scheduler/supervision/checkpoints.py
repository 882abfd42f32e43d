"""Sets incomplete checkpoints aside before a training is resumed, and reports them."""

from __future__ import annotations

import asyncio
import logging

from store.records import JobRecord
from taod.catalogue.commands import artifacts
from taod.catalogue.network import get_network
from taod.scheduler.context import SchedulerContext
from taod.types.job_requests import TRAININGS
from taod.types.reason import noted
from taod.types.warning import Warning, WarningCode

log = logging.getLogger(__name__)


async def set_incomplete_aside(context: SchedulerContext, job: JobRecord) -> None:
    """Rename incomplete checkpoints of the last run, since some tools search their results folder themselves.

    The history and a warning name the files and the checkpoint that the training resumes from.
    """
    if job.action not in TRAININGS or not job.attempt:
        return
    results = context.root.job(job.id).results
    found = await asyncio.to_thread(artifacts.incomplete, results)
    if not found:
        return
    try:
        for path, _ in found:
            await asyncio.to_thread(artifacts.set_aside, path)
    except OSError:
        log.exception("an incomplete checkpoint of job %s could not be renamed", job.id)
    network = get_network(job.network, job.release)
    resumed = await asyncio.to_thread(artifacts.resume, network, job.action, results)
    warning = Warning(
        WarningCode.CHECKPOINT_INCOMPLETE,
        "",
        {
            "files": [{"name": str(path.relative_to(results)), "fault": lack} for path, lack in found],
            "resumed_from": "" if resumed is None else str(resumed.relative_to(results)),
        },
    )
    context.store.jobs.note(job.id, noted(warning))
    context.publish(context.warn(job.id, WarningCode.CHECKPOINT_INCOMPLETE, warning))
