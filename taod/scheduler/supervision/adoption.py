"""Re-adopts the runs of jobs that were on a device when the last daemon ended."""

from __future__ import annotations

import logging

from runners.protocol import Claim
from store.records import JobRecord
from taod.errors import ConfigError
from taod.scheduler.context import ActiveRun, SchedulerContext
from taod.scheduler.supervision.launch import identity_of, mark_running, rebuild_request
from taod.types.reason import CANCELLED_BY_USER, Reason, ReasonCode
from taod.types.state import State

NOT_STARTED = Reason(ReasonCode.RESTARTED)

log = logging.getLogger(__name__)


async def adopt(
    context: SchedulerContext, job: JobRecord, never: Reason = NOT_STARTED, fault: Reason | None = None
) -> ActiveRun | None:
    """The job's run, active or ended; None if there is none: then the job is queued again or ended.

    `never`: reason if the run never started; `fault`: why such a job fails instead of being queued again. Wherever
    the last daemon died, no run is started twice or lost.
    """
    run = None if job.state is State.LEASED else context.store.runs.latest(job.id)
    if run is None:
        _requeue_or_end(context, job, never, fault)
        return None
    try:
        runner = context.runners.get(run.runner)
    except ConfigError as error:
        context.end(job.id, State.FAILED, Reason(ReasonCode.RUN_LOST, {"error": str(error)}))
        return None
    request = rebuild_request(context, job, run)
    identity = identity_of(run)
    if identity is None:
        claim, identity = await runner.recover(request)
        if claim is Claim.NEVER or identity is None:
            context.store.runs.update(job.id, run.attempt, ended_at=context.now())
            _requeue_or_end(context, job, never, fault)
            return None
    live = ActiveRun(job.id, runner, request, identity)
    context.follow(job, fresh=False)
    if job.state is State.STARTING:
        mark_running(context, live)
    return live


def _requeue_or_end(context: SchedulerContext, job: JobRecord, never: Reason, fault: Reason | None) -> None:
    """Queue a job without a run again, cancel it if a stop was requested, or fail it for a fault."""
    if fault is not None:
        context.end(job.id, State.FAILED, fault)
    elif job.stop_intent is not None:
        context.end(job.id, State.CANCELLED, CANCELLED_BY_USER)
    elif job.state in (State.LEASED, State.STARTING, State.RUNNING):
        context.move(job.id, State.QUEUED, never)
    else:
        context.end(job.id, State.FAILED, Reason(ReasonCode.RUN_UNRECORDED))
