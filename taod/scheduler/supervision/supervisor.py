"""One job on its devices, from lease to end: a task that starts or adopts its run, stops it and finalizes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from runners.protocol import Ended
from taod.backoff import Backoff, passes
from taod.scheduler.context import ActiveRun, SchedulerContext
from taod.scheduler.supervision.adoption import NOT_STARTED, adopt
from taod.scheduler.supervision.exit_classification import AbortReason
from taod.scheduler.supervision.finalize import finalize
from taod.scheduler.supervision.launch import launch
from taod.scheduler.supervision.limit_monitor import guard
from taod.scheduler.supervision.run_limits import limits
from taod.scheduler.supervision.stop_request import StopRequest
from taod.types.reason import CANCELLED_BY_USER, Reason, ReasonCode
from taod.types.state import State

log = logging.getLogger(__name__)


class RunSupervisor:
    """The watch over one job's run. Cancelling its task leaves the run alone: a daemon that comes later adopts it."""

    def __init__(self, context: SchedulerContext, job_id: str, over: Callable[[RunSupervisor], None]) -> None:
        """`over` is called when the job is off its devices, whatever became of it."""
        self.job_id = job_id
        self.ended = asyncio.Event()
        self.live: ActiveRun | None = None
        """The run, once it is known to live, until its end is on record."""
        self._context = context
        self._over = over
        self._stop_request = StopRequest()
        self._never: Reason | None = None
        """The reason of a job that turns out not to have been started, where that is known before."""
        self._fault: Exception | None = None
        """The last error, if it does not pass by itself."""
        self._task: asyncio.Task[None] | None = None

    def begin(self, live: ActiveRun | None = None) -> None:
        """Start the leased job, or watch a run that lives already."""
        self._task = asyncio.create_task(self._carry(live), name=f"job {self.job_id}")

    def recover(self) -> None:
        """Find out, after a delay, what became of a job that an earlier daemon had on a device, and continue it."""
        self._never = NOT_STARTED
        self._task = asyncio.create_task(self._carry(None, over=False), name=f"job {self.job_id}")

    def stop(self, reason: Reason = CANCELLED_BY_USER) -> None:
        """Ask the run to end; grace and force follow. A second call changes only the reason."""
        self._stop_request.cancelled = reason
        self._stop_request.end()

    def abort(self, cause: str, reason: Reason) -> None:
        """End the run for a limit that it broke or a device that it lost; the first reason is the one that counts."""
        if self._stop_request.abort is None:
            self._stop_request.abort = AbortReason(cause, reason)
            try:
                self._context.store.jobs.note(self.job_id, reason)
            except Exception:
                log.exception("why job %s is ended could not be noted: %s", self.job_id, reason.code)
            self._stop_request.end()

    async def leave(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _carry(self, live: ActiveRun | None, *, over: bool | None = None) -> None:
        """`over` False: what became of the job is to be found out first."""
        backoff = Backoff()
        try:
            if over is None:
                over = await self._carried(live, recovered=False)
            while not over:
                await backoff.wait()
                over = await self._carried(None, recovered=True)
                if not over and self._fault is not None:
                    over = await self._give_up(self._fault)
        finally:
            self.live = None
            self.ended.set()
            self._over(self)

    async def _carried(self, live: ActiveRun | None, *, recovered: bool) -> bool:
        """Whether the job is off its devices. After an error between two steps it is found again (`recovered`), as by a
        later daemon."""
        try:
            self.live = (
                await self._found()
                if recovered
                else live or await launch(self._context, self.job_id, self._stop_request)
            )
            if self.live is not None:
                ended = await self._watch(self.live)
                await finalize(self._context, self.live, ended, self._stop_request.cancelled, self._stop_request.abort)
        except Exception as error:
            log.exception("job %s could not be carried on; it is looked for again", self.job_id)
            self._fault = None if passes(error) else error
            return False
        finally:
            self.live = None
        return True

    async def _give_up(self, fault: Exception) -> bool:
        """End a job that taod cannot supervise, with the fault as its reason. Whether that is on record."""
        try:
            if (live := await self._found()) is not None:
                await live.runner.stop(live.identity, live.request, force=True)
            job = self._context.store.jobs.get(self.job_id)
            if job is not None and job.state.on_device:
                if job.state is State.STARTING:
                    self._context.store.jobs.transition(job.id, State.STOPPING, Reason(ReasonCode.ENDED))
                reason = Reason(ReasonCode.FAULT, {"error": f"{type(fault).__name__}: {fault}"})
                self._context.end(self.job_id, State.FAILED, reason)
        except Exception as error:
            log.exception("job %s could not be given up", self.job_id)
            return not passes(error)
        return True

    async def _found(self) -> ActiveRun | None:
        job = self._context.store.jobs.get(self.job_id)
        if job is None or not job.state.on_device:
            return None
        never = self._never or Reason(ReasonCode.NOT_STARTED, {"at": self._context.now()})
        live = await adopt(self._context, job, never=never)
        if job.stop_intent is not None:
            self._stop_request.end()
        return live

    async def _watch(self, live: ActiveRun) -> Ended:
        beside = [
            asyncio.create_task(self._stop_when_asked(live), name=f"stop of job {self.job_id}"),
            asyncio.create_task(self._guard(live), name=f"limits of job {self.job_id}"),
        ]
        backoff = Backoff()
        try:
            while True:
                try:
                    return await live.runner.wait(live.identity, live.request)
                except Exception as error:
                    backoff.report(log, error, "the run of job %s could not be waited for", self.job_id)
                    if not passes(error):
                        raise
                    await backoff.wait()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _guard(self, live: ActiveRun) -> None:
        job = self._context.store.jobs.get(self.job_id)
        if job is None:
            return None
        kept = limits(self._context.supervision, job.network, job.action)
        backoff = Backoff()
        while True:
            try:
                return await guard(self._context, live, kept, self.abort)
            except Exception as error:
                backoff.report(log, error, "the limits of job %s cannot be watched now; it is tried again", self.job_id)
                await backoff.wait()

    async def _stop_when_asked(self, live: ActiveRun) -> None:
        """SIGTERM, the grace, SIGKILL; ended by the run's end."""
        await self._stop_request.wait()
        force = False
        while True:
            try:
                await live.runner.stop(live.identity, live.request, force=force)
            except Exception:
                log.exception("job %s could not be signalled; it is tried again", self.job_id)
            await asyncio.sleep(self._context.config.grace_s)
            force = True
