"""After a restart of the daemon: what became of each job that was on a device."""

from __future__ import annotations

import logging

from runners.protocol import Claim
from store.records import JobRecord
from taod.errors import ConfigError
from taod.scheduler.context import ActiveRun, SchedulerContext
from taod.scheduler.supervision.launch import identity_of, mark_running, request_again
from taod.types.reason import CANCELLED_BY_USER, Reason, ReasonCode
from taod.types.state import State

NOT_STARTED = Reason(ReasonCode.RESTARTED)

log = logging.getLogger(__name__)


async def adopt(context: SchedulerContext, job: JobRecord, never: Reason = NOT_STARTED) -> ActiveRun | None:
    """The job's run to be watched again, ended or not; None where there is none: it is queued again, or has ended.

    `never`: what is said of one that was not started. Safe at any moment at which the daemon before may have died: a
    run is never started twice, and none is lost.
    """
    run = None if job.state is State.LEASED else context.store.runs.latest(job.id)
    if run is None:
        _back(context, job, never)
        return None
    try:
        runner = context.runners.get(run.runner)
    except ConfigError as error:
        context.end(job.id, State.FAILED, Reason(ReasonCode.RUN_LOST, {"error": str(error)}))
        return None
    request = request_again(context, job, run)
    identity = identity_of(run)
    if identity is None:
        claim, identity = await runner.recover(request)
        if claim is Claim.NEVER or identity is None:
            context.store.runs.update(job.id, run.attempt, ended_at=context.now())
            _back(context, job, never)
            return None
    live = ActiveRun(job.id, runner, request, identity)
    context.follow(job, fresh=False)
    if job.state is State.STARTING:
        mark_running(context, live)
    return live


def _back(context: SchedulerContext, job: JobRecord, never: Reason) -> None:
    """Nothing of it was started: into the queue again, unless its end was asked for."""
    if job.stop_intent is not None:
        context.end(job.id, State.CANCELLED, CANCELLED_BY_USER)
    elif job.state in (State.LEASED, State.STARTING, State.RUNNING):
        context.move(job.id, State.QUEUED, never)
    else:
        context.end(job.id, State.FAILED, Reason(ReasonCode.RUN_UNRECORDED))
