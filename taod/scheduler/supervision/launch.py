"""Starts the run of a leased job. Each step is recorded before the next, so that a restart knows where it stopped."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from runners.local import LocalRunner
from runners.protocol import Claim, Command, Launch, OffHostRunner, RunIdentity, Runner, RunRequest, StartFailed
from store.records import JobRecord, RunRecord
from taod import atomic_file, masking
from taod.backoff import Backoff, passes
from taod.errors import TaodError
from taod.scheduler.context import ActiveRun, SchedulerContext
from taod.scheduler.supervision.checkpoints import set_incomplete_aside
from taod.scheduler.supervision.exit_classification import CANCEL, PAUSE
from taod.scheduler.supervision.run_limits import limits
from taod.scheduler.supervision.stop_request import StopRequest
from taod.telemetry import log as logs
from taod.types.reason import Reason, ReasonCode
from taod.types.state import State
from taod.types.warning import WarningCode

QUICK = (LocalRunner, OffHostRunner)
"""Runners that start within milliseconds or with one request to a cluster; their start is never aborted."""

log = logging.getLogger(__name__)


async def launch(context: SchedulerContext, job_id: str, stop_request: StopRequest) -> ActiveRun | None:
    """Start the leased job; None if it ended or was queued again instead."""
    job = context.store.jobs.get(job_id)
    if job is None or job.state is not State.LEASED:
        return None
    if job.stop_intent is not None:
        context.end(job_id, State.CANCELLED, stop_request.cancelled)
        return None
    if not await _fit(context, job):
        return None
    backoff = Backoff()
    while True:
        try:
            runner, request, shown = await _prepare(context, job)
            break
        except Exception as error:
            if passes(error):
                backoff.report(log, error, "job %s cannot be prepared now; retrying", job_id)
                await stop_request.unless(asyncio.sleep(backoff.next_s()))
                if _intent(context, job_id) is None:
                    continue
                context.end(job_id, State.CANCELLED, stop_request.cancelled)
            elif isinstance(error, TaodError | StartFailed):
                context.end(job_id, State.FAILED, _start_failed(error))
            else:
                log.exception("job %s could not be prepared", job_id)
                failed = {"error": f"{type(error).__name__}: {error}"}
                context.end(job_id, State.FAILED, Reason(ReasonCode.PREPARE_FAILED, failed))
            return None
    with context.store.transaction():
        job = context.store.jobs.transition(
            job_id,
            State.STARTING,
            Reason(ReasonCode.STARTING, {"runner": runner.name}),
            attempt=request.attempt,
            runner=runner.name,
        )
        context.warn(job_id, WarningCode.STALLED, None)
        context.store.runs.add(
            RunRecord(
                job_id,
                request.attempt,
                runner.name,
                command=shown.argv,
                environment=shown.environment,
                energy_start=context.devices.energy_j(job.devices),
                energy_shared=context.devices.shared(job.devices),
            )
        )
        _note_unbounded(context, request, runner)
        # In the same transaction: it records where this attempt's status lines begin.
        context.follow(job, fresh=True)
    _mark_log(request)
    context.publish(job)
    try:
        identity = await _start(runner, request, stop_request)
        why = Reason(ReasonCode.ENDED_BEFORE_START)
    except StartFailed as error:
        identity, why = None, _start_failed(error)
    if identity is None:
        await _end_unstarted(context, request, stop_request, why)
        return None
    return mark_running(context, ActiveRun(job_id, runner, request, identity))


def _mark_log(request: RunRequest) -> None:
    """Record where the attempt's part of the log begins; without it, failures are explained from the whole log."""
    mark = request.run_folder.log_start
    try:
        atomic_file.write(mark, str(logs.size(request.job_folder.log)).encode(), durable=False)
    except OSError:
        log.exception("the start of the log of %s could not be recorded", request.run_folder.path)


async def _start(runner: Runner, request: RunRequest, stop_request: StopRequest) -> RunIdentity | None:
    """Start the run; None if a stop was requested first and it will never start. Raises StartFailed."""
    if isinstance(runner, QUICK):
        return await _started(runner, request)
    # A container's image may take an hour to download.
    identity = await stop_request.unless(_started(runner, request))
    if identity is None:
        _, identity = await runner.recover(request)
    return identity


async def _started(runner: Runner, request: RunRequest) -> RunIdentity:
    """Start the run. Raises StartFailed for any error, once it is certain that nothing was started."""
    try:
        return await runner.start(request)
    except StartFailed:
        raise
    except Exception as error:
        log.exception("job %s could not be started", request.job_id)
        claim, identity = await runner.recover(request)
        if claim is Claim.NEVER or identity is None:
            raise StartFailed(f"It could not be started: {type(error).__name__}: {error}") from error
        return identity


async def _end_unstarted(
    context: SchedulerContext, request: RunRequest, stop_request: StopRequest, why: Reason
) -> None:
    """End a job whose start failed or was aborted."""
    job_id = request.job_id
    await context.telemetry.finish(job_id)
    context.store.runs.update(job_id, request.attempt, ended_at=context.now())
    intent = _intent(context, job_id)
    if intent == CANCEL:
        context.end(job_id, State.CANCELLED, stop_request.cancelled)
    elif intent == PAUSE:
        context.move(job_id, State.STOPPING, stopping(PAUSE))
        context.end(job_id, State.PAUSED, Reason(ReasonCode.PAUSED, {"epoch": None}))
    else:
        context.end(job_id, State.FAILED, stop_request.abort.reason if stop_request.abort else why)


def _note_unbounded(context: SchedulerContext, request: RunRequest, runner: Runner) -> None:
    """Note in the history that the memory limit cannot be enforced."""
    if request.memory_bytes and isinstance(runner, LocalRunner) and (reason := runner.memory_limit_unavailable()):
        context.store.jobs.note(request.job_id, Reason(ReasonCode.MEMORY_UNLIMITED, {"fault": reason}))


async def _fit(context: SchedulerContext, job: JobRecord) -> bool:
    """Measure the job's GPUs just before the start. Returns whether they are usable; if not, the job is queued again.

    The driver does not notify about new processes, so it is queried a few milliseconds before the run starts.
    """
    if not context.devices.has_gpus or not any(grant.kind == "gpu" for grant in context.devices.grants(job.devices)):
        return True
    try:
        await context.devices.read_async()
        reason = context.devices.unfit(job.id, context.store.leases.all())
    except Exception:
        log.exception("the devices of job %s could not be read; starting it regardless", job.id)
        return True
    if reason is None:
        return True
    context.move(job.id, State.QUEUED, reason)
    return False


def mark_running(context: SchedulerContext, live: ActiveRun) -> ActiveRun:
    """Record that the run has started: RUNNING, or STOPPING if a stop was requested meanwhile. Errors are logged."""
    try:
        with context.store.transaction():
            context.store.runs.update(
                live.job_id,
                live.request.attempt,
                identity=msgspec.json.encode(live.identity),
                started_at=context.now(),
            )
            intent = _intent(context, live.job_id)
            job = context.store.jobs.transition(
                live.job_id,
                State.RUNNING if intent is None else State.STOPPING,
                Reason(ReasonCode.RUNNING, {"runner": live.runner.name}) if intent is None else stopping(intent),
            )
        context.publish(job)
    except Exception:
        # The process exists even if the record fails (full disk), so it is supervised in any case.
        log.exception("job %s runs, but this could not be recorded", live.job_id)
    context.run_started.set()
    return live


def stopping(intent: str) -> Reason:
    """Why a job is in STOPPING."""
    return Reason(ReasonCode.STOPPING, {"intent": intent})


def _start_failed(error: Exception) -> Reason:
    return Reason(ReasonCode.START_FAILED, {"error": str(error)})


def rebuild_request(context: SchedulerContext, job: JobRecord, run: RunRecord) -> RunRequest:
    """The request of an earlier start, with what is needed to find, supervise and stop its run."""
    return RunRequest(
        job_id=job.id,
        attempt=run.attempt,
        command=Command(
            job.network, job.action, run.command, image="", secrets=_secrets(context, job), release=job.release
        ),
        folder=str(context.root.job(job.id).path),
        devices=context.devices.grants(job.devices),
    )


def _secrets(context: SchedulerContext, job: JobRecord) -> list[str]:
    try:
        return context.planner.secrets(job)
    except Exception:
        log.exception("the secrets of job %s are not known: its log is not masked", job.id)
        return []


def identity_of(run: RunRecord) -> RunIdentity | None:
    return None if run.identity is None else msgspec.json.decode(run.identity, type=RunIdentity)


async def _prepare(context: SchedulerContext, job: JobRecord) -> tuple[Runner, RunRequest, Launch]:
    await set_incomplete_aside(context, job)
    runner, command = await context.planner.prepare(job)
    folder = context.root.job(job.id)
    folder.path.mkdir(parents=True, exist_ok=True)
    attempt = job.attempt + 1
    # A run folder newer than the record is left by a machine that lost power before the record reached the disk.
    while folder.run(attempt).path.exists():
        attempt += 1
    request = RunRequest(
        job.id,
        attempt,
        command,
        str(folder.path),
        context.devices.grants(job.devices),
        memory_bytes=limits(context.supervision, job.network, job.action).memory_bytes,
    )
    return runner, request, _masked(runner.describe(request))


def _masked(launch: Launch) -> Launch:
    return Launch(masking.argv(launch.argv), masking.environment(launch.environment))


def _intent(context: SchedulerContext, job_id: str) -> str | None:
    job = context.store.jobs.get(job_id)
    return None if job is None else job.stop_intent
