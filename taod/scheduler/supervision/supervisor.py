"""Supervises one job from lease to end: a task that starts or re-adopts its run, stops it and finalizes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from runners.protocol import RunEnd
from taod.backoff import Backoff, passes
from taod.scheduler.context import ActiveRun, SchedulerContext
from taod.scheduler.supervision.adoption import NOT_STARTED, adopt
from taod.scheduler.supervision.exit_classification import AbortReason
from taod.scheduler.supervision.finalize import finalize
from taod.scheduler.supervision.launch import launch
from taod.scheduler.supervision.limit_monitor import monitor_limits
from taod.scheduler.supervision.run_limits import LOST, limits
from taod.scheduler.supervision.stop_request import StopRequest
from taod.types.reason import CANCELLED_BY_USER, Reason, ReasonCode, fault_of
from taod.types.state import State

log = logging.getLogger(__name__)


class RunSupervisor:
    """Supervises one job's run. If its task is cancelled, the run continues, and a later daemon re-adopts it."""

    def __init__(self, context: SchedulerContext, job_id: str, over: Callable[[RunSupervisor], None]) -> None:
        """`over` is called when the job has left its devices, in whatever state."""
        self.job_id = job_id
        self.ended = asyncio.Event()
        self.live: ActiveRun | None = None
        """The run, from when it is known to be alive until its end is recorded."""
        self._context = context
        self._over = over
        self._stop_request = StopRequest()
        self._never: Reason | None = None
        """The reason if the run never started; None: NOT_STARTED with the time."""
        self._fault: Exception | None = None
        """The last error, if it is not transient."""
        self._errors = Backoff()
        self._task: asyncio.Task[None] | None = None

    def begin(self, live: ActiveRun | None = None) -> None:
        """Start the leased job, or supervise an active run."""
        self._task = asyncio.create_task(self._supervise(live), name=f"job {self.job_id}")

    def recover(self) -> None:
        """Re-adopt, after a delay, a job that an earlier daemon had on a device."""
        self._never = NOT_STARTED
        self._task = asyncio.create_task(self._supervise(None, over=False), name=f"job {self.job_id}")

    def stop(self, reason: Reason = CANCELLED_BY_USER) -> None:
        """Stop the run: SIGTERM, then SIGKILL after the grace period. A second call changes only the reason."""
        self._stop_request.cancelled = reason
        self._stop_request.end()

    def abort(self, cause: str, reason: Reason) -> None:
        """End the run for an exceeded limit or a lost device; the first reason is kept."""
        if self._stop_request.abort is None:
            self._stop_request.abort = AbortReason(cause, reason)
            try:
                self._note_abort(cause, reason)
            except Exception:
                log.exception("the reason for aborting job %s could not be noted: %s", self.job_id, reason.code)
            self._stop_request.end()

    def _note_abort(self, cause: str, reason: Reason) -> None:
        store = self._context.store
        with store.transaction():
            store.jobs.note(self.job_id, reason)
            if cause == LOST and (job := store.jobs.get(self.job_id)) is not None:
                self._context.outbox.device_lost(job, reason)

    async def leave(self) -> None:
        """Stop supervising; the run continues."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _supervise(self, live: ActiveRun | None, *, over: bool | None = None) -> None:
        """`over` False: the job has to be re-adopted first."""
        backoff = Backoff()
        try:
            if over is None:
                over = await self._attempt(live, recovered=False)
            while not over:
                if self._fault is not None:
                    over = await self._give_up(self._fault)
                if not over:
                    await backoff.wait()
                    over = await self._attempt(None, recovered=True)
        finally:
            self.live = None
            self.ended.set()
            self._over(self)

    async def _attempt(self, live: ActiveRun | None, *, recovered: bool) -> bool:
        """Supervise the job until it has left its devices; False after an error.

        `recovered`: after an error, re-adopt the run as a later daemon would.
        """
        try:
            self.live = (
                await self._readopt()
                if recovered
                else live or await launch(self._context, self.job_id, self._stop_request)
            )
            if self.live is not None:
                ended = await self._watch(self.live)
                await finalize(self._context, self.live, ended, self._stop_request.cancelled, self._stop_request.abort)
        except Exception as error:
            self._errors.report(log, error, "the supervision of job %s failed", self.job_id)
            self._fault = None if passes(error) else error
            return False
        finally:
            self.live = None
        return True

    async def _give_up(self, fault: Exception) -> bool:
        """End a job that taod cannot supervise, with the fault as its reason. Returns whether that is recorded."""
        context = self._context
        try:
            if (live := await self._readopt(fault_of(fault))) is not None:
                await live.runner.stop(live.identity, live.request, force=True)
        except Exception as error:
            if passes(error):
                self._errors.report(log, error, "job %s cannot be given up now", self.job_id)
                return False
            log.exception("the run of job %s could not be stopped; it may live", self.job_id)
        try:
            job = context.store.jobs.get(self.job_id)
            if job is not None and job.state.on_device:
                try:
                    context.end(self.job_id, State.FAILED, fault_of(fault))
                except Exception as error:
                    if passes(error):
                        raise
                    log.exception("the result of job %s could not be recorded", self.job_id)
                    context.move(self.job_id, State.FAILED, fault_of(fault))
        except Exception as error:
            self._errors.report(log, error, "the end of job %s could not be recorded", self.job_id)
            return False
        return True

    async def _readopt(self, fault: Reason | None = None) -> ActiveRun | None:
        """The job's run; None if there is none: then the job is queued again, or has failed with `fault`."""
        job = self._context.store.jobs.get(self.job_id)
        if job is None or not job.state.on_device:
            return None
        never = self._never or Reason(ReasonCode.NOT_STARTED, {"at": self._context.now()})
        live = await adopt(self._context, job, never=never, fault=fault)
        if job.stop_intent is not None:
            self._stop_request.end()
        return live

    async def _watch(self, live: ActiveRun) -> RunEnd:
        """Wait for the run's end, beside stopping it when asked and monitoring its limits. Raises their errors that do
        not pass."""
        waiting = asyncio.create_task(self._wait(live), name=f"end of job {self.job_id}")
        beside = [
            asyncio.create_task(self._stop_when_asked(live), name=f"stop of job {self.job_id}"),
            asyncio.create_task(self._monitor_limits(live), name=f"limits of job {self.job_id}"),
        ]
        active = set(beside)
        try:
            while not waiting.done():
                await asyncio.wait({waiting, *active}, return_when=asyncio.FIRST_COMPLETED)
                for task in [each for each in active if each.done()]:
                    task.result()
                    active.discard(task)
            return waiting.result()
        finally:
            for one in (waiting, *beside):
                one.cancel()
            await asyncio.gather(waiting, *beside, return_exceptions=True)

    async def _wait(self, live: ActiveRun) -> RunEnd:
        backoff = Backoff()
        while True:
            with backoff.passing(log, "the run of job %s cannot be waited for now; retrying", self.job_id):
                return await live.runner.wait(live.identity, live.request)
            await backoff.wait()

    async def _monitor_limits(self, live: ActiveRun) -> None:
        job = self._context.store.jobs.get(self.job_id)
        if job is None:
            return None
        kept = limits(self._context.supervision, job.network, job.action)
        backoff = Backoff()
        while True:
            with backoff.passing(log, "the limits of job %s cannot be monitored now; retrying", self.job_id):
                return await monitor_limits(self._context, live, kept, self.abort)
            await backoff.wait()

    async def _stop_when_asked(self, live: ActiveRun) -> None:
        """On a stop request send SIGTERM, then SIGKILL after each grace period, until the run's end cancels this."""
        await self._stop_request.wait()
        force, backoff = False, Backoff()
        while True:
            with backoff.passing(log, "job %s cannot be signalled now; retrying", self.job_id):
                await live.runner.stop(live.identity, live.request, force=force)
            await asyncio.sleep(self._context.config.grace_s)
            force = True
