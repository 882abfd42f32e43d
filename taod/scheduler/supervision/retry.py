"""Retries jobs after failures that taod.toml names: the job is held, then queued again. Times are in the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from runners.protocol import RunEnd
from store.records import JobRecord
from taod.backoff import Backoff, passes
from taod.clock import iso
from taod.scheduler.context import SchedulerContext
from taod.scheduler.supervision.exit_classification import Outcome
from taod.scheduler.supervision.run_limits import Limits, limits
from taod.types.job import DetailedStatus, Result
from taod.types.reason import Reason, ReasonCode, fault_of
from taod.types.reason_text import text
from taod.types.state import State

log = logging.getLogger(__name__)


def wanted(context: SchedulerContext, job: JobRecord, outcome: Outcome, ended: RunEnd) -> bool:
    """Whether the run is retried: it failed by itself, and its end was not requested."""
    if outcome.state is not State.FAILED or job.stop_intent is not None or job.state is State.STOPPING:
        return False
    return _limits(context, job).allows_retry(exit_code=ended.exit_code, cause=outcome.cause, retries=job.retries)


def schedule_retry(context: SchedulerContext, job: JobRecord, outcome: Outcome, result: Result) -> None:
    """Release the devices and hold the job until its retry; call it inside a transaction."""
    kept = _limits(context, job)
    pause_s = kept.pause_s(job.retries)
    count = {"retry": job.retries + 1, "retries": kept.retries}
    reason = Reason(ReasonCode.RETRY_LATER, {**count, "pause_s": pause_s, "failure": outcome.reason.document()})
    result.detailed_status = DetailedStatus(message=text(reason))
    jobs = context.store.jobs
    jobs.save_result(job.id, result)
    jobs.transition(job.id, State.QUEUED, outcome.reason)
    if outcome.reason.code is ReasonCode.DEVICE_LOST:
        context.outbox.device_lost(job, outcome.reason)
    at = iso(context.clock.time() + pause_s)
    context.publish(jobs.transition(job.id, State.HELD, reason, retries=job.retries + 1, retry_at=at))


class Retries:
    """Queues held jobs again when their retry is due."""

    def __init__(self, context: SchedulerContext, wake: Callable[[], None]) -> None:
        """`wake` is called after a job was queued."""
        self._context = context
        self._wake = wake
        self._backoff = Backoff()
        self._timer: asyncio.TimerHandle | None = None
        self._deadlines: dict[str, float] = {}
        """Job id → latest time of its retry by the loop's monotonic clock."""

    def schedule(self) -> None:
        """Queue the jobs that are due, and set a timer for the next one."""
        self.stop()
        try:
            held = self._context.store.jobs.to_retry()
            self._deadlines = {job.id: self._deadlines[job.id] for job in held if job.id in self._deadlines}
            waiting = [job for job in held if not self._queued_or_failed(job)]
        except Exception as error:
            self._backoff.report(log, error, "jobs that wait for a retry could not be queued")
            delay: float | None = self._backoff.next_s()
        else:
            self._backoff.reset()
            delay = min((self._left_s(job) for job in waiting), default=None)
        if delay is not None:
            self._timer = asyncio.get_running_loop().call_later(delay, self.schedule)

    def stop(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _queued_or_failed(self, job: JobRecord) -> bool:
        """Queue the job if its retry is due; fail it after an error that does not pass. Returns whether it waits no
        longer."""
        try:
            self._deadlines[job.id] = self._deadline(job)
            return self._queue_if_due(job)
        except Exception as error:
            if passes(error):
                raise
            log.exception("job %s could not be queued for its retry", job.id)
            self._context.end(job.id, State.FAILED, fault_of(error))
            return True

    def _queue_if_due(self, job: JobRecord) -> bool:
        """Queue the job if its retry is due. Returns whether it was."""
        if self._left_s(job) > 0:
            return False
        kept = _limits(self._context, job)
        count = {"retry": job.retries, "retries": max(kept.retries, job.retries)}
        self._context.move(job.id, State.QUEUED, Reason(ReasonCode.RETRY, count))
        self._wake()
        return True

    def _deadline(self, job: JobRecord) -> float:
        """Time of the retry by the monotonic clock: at most one whole pause after it was first read, even if the wall
        clock was set back."""
        now = asyncio.get_running_loop().time()
        pause_s = _limits(self._context, job).pause_s(max(job.retries - 1, 0))
        left_s = min(max(0.0, _seconds(job.retry_at) - self._context.clock.time()), pause_s)
        return min(self._deadlines.get(job.id, now + pause_s), now + left_s)

    def _left_s(self, job: JobRecord) -> float:
        return max(0.0, self._deadlines[job.id] - asyncio.get_running_loop().time())


def _limits(context: SchedulerContext, job: JobRecord) -> Limits:
    return limits(context.supervision, job.network, job.action)


def _seconds(at: str | None) -> float:
    return 0.0 if at is None else datetime.fromisoformat(at).timestamp()
