"""Finalizes a run: reads its last output, classifies and records its end, and releases its devices."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from runners.protocol import RunEnd, RunRequest
from store.records import JobRecord
from taod import masking, plain_file
from taod.backoff import Backoff
from taod.scheduler.context import ActiveRun, SchedulerContext
from taod.scheduler.policy.wait_reasons import device_label
from taod.scheduler.supervision import retry
from taod.scheduler.supervision.exit_classification import SUCCESS, AbortReason, ExitFacts, Outcome, judge
from taod.scheduler.supervision.failure_reason import LINES
from taod.scheduler.supervision.run_limits import LOST
from taod.scheduler.supervision.usage import record_use
from taod.telemetry import log as logs
from taod.telemetry.log_truncation import close_up, trim
from taod.telemetry.telemetry import Final
from taod.types.reason import Reason, ReasonCode
from taod.types.state import State

log = logging.getLogger(__name__)


async def finalize(
    context: SchedulerContext, live: ActiveRun, ended: RunEnd, cancelled: Reason, abort: AbortReason | None = None
) -> None:
    """Record how the run ended, with retries; until then the job keeps its devices.

    `cancelled`: the reason if it was cancelled. `abort`: why taod ended it, if it did.
    """
    # After an error the run is followed again, and its lines are read from the first on.
    final = await context.telemetry.finish(live.job_id)
    await _mask_log(context, live)
    path = context.root.job(live.job_id).log
    final = msgspec.structs.replace(final, message=context.log_mask.text(path, final.message))
    if (status := final.result.detailed_status) is not None:
        status.message = context.log_mask.text(path, status.message)
    lost = await _lost_gpus(context, live)
    tail = ""
    if ended.exit_code != 0 or final.status != SUCCESS:
        tail = await asyncio.to_thread(_tail, live.request)
        abort = abort or lost
    # After the tail was read: compacting the log moves the start of the attempt's part.
    await _close_log(context, live)
    backoff = Backoff()
    while True:
        with backoff.passing(log, "the end of job %s cannot be recorded now; retrying", live.job_id):
            _record(context, live, ended, final, tail, cancelled, abort)
            context.log_mask.forget(path)
            return
        await backoff.wait()


def _record(
    context: SchedulerContext,
    live: ActiveRun,
    ended: RunEnd,
    final: Final,
    tail: str,
    cancelled: Reason,
    abort: AbortReason | None,
) -> None:
    job = context.store.jobs.get(live.job_id)
    if job is None or not job.state.on_device:
        return
    outcome = judge(
        ExitFacts(
            stop_intent=job.stop_intent,
            ended=ended,
            status=final.status,
            message=final.message,
            epoch=final.result.epoch,
            log=tail,
            cancelled=cancelled,
            action=job.action,
            abort=abort,
        )
    )
    with context.store.transaction():
        context.store.runs.update(job.id, live.request.attempt, exit_code=ended.exit_code, ended_at=context.now())
        record_use(context, live)
        if ended.left:
            context.store.jobs.note(job.id, Reason(ReasonCode.SURVIVORS, {"processes": ended.left}))
        _end(context, job, outcome, ended, final)


def _end(context: SchedulerContext, job: JobRecord, outcome: Outcome, ended: RunEnd, final: Final) -> None:
    if retry.wanted(context, job, outcome, ended):
        retry.schedule_retry(context, job, outcome, final.result)
        return
    if job.state is State.STARTING:
        # Its start could not be recorded at the time.
        context.store.jobs.transition(job.id, State.STOPPING, Reason(ReasonCode.ENDED))
    context.end(job.id, outcome.state, outcome.reason, final.result)


async def _lost_gpus(context: SchedulerContext, live: ActiveRun) -> AbortReason | None:
    """Measure the devices before the next run starts; the abort reason if one of the run's GPUs is lost."""
    if not any(device.kind == "gpu" for device in live.request.devices):
        return None
    try:
        await context.devices.read_async()
    except Exception:
        log.exception("the devices could not be read")
        return None
    held, lost = {device.id for device in live.request.devices}, context.devices.lost()
    gone = [device for device in context.devices.devices if device.id in held & lost]
    if not gone:
        return None
    named = [{"name": device_label(device), "id": device.id} for device in gone]
    return AbortReason(LOST, Reason(ReasonCode.DEVICE_LOST, {"devices": named}))


async def _mask_log(context: SchedulerContext, live: ActiveRun) -> None:
    command = live.request.command
    try:
        for mask in (context.mask_log, context.mask_status):
            await asyncio.to_thread(mask, live.job_id, live.runner, command.network, command.action)
    except OSError:
        log.exception("the secrets in the log of job %s could not be masked", live.job_id)


async def _close_log(context: SchedulerContext, live: ActiveRun) -> None:
    """Reduce a log that exceeds `log_bytes` to its final form, now that no process writes to it."""
    path, most = context.root.job(live.job_id).log, context.supervision.log_bytes
    try:
        if most and logs.size(path) > most:
            await asyncio.to_thread(trim, path, most)
            await asyncio.to_thread(close_up, path, most)
    except OSError:
        log.exception("the log of job %s could not be made smaller", live.job_id)


def _tail(request: RunRequest) -> str:
    """The last lines of this attempt, with secrets masked."""
    try:
        since = int(plain_file.read(request.run_folder.log_start, plain_file.SMALL))
    except (OSError, ValueError):
        since = 0
    try:
        lines = logs.tail(request.job_folder.log, LINES, since)
    except OSError:
        return ""
    return masking.log(logs.plain(lines).decode(errors="replace"), request.command.secrets)
