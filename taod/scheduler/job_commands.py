"""Records requests to cancel, pause, finish or resume jobs; the supervision sends the signals."""

from __future__ import annotations

from store.records import JobRecord
from taod.errors import BadRequest, NotFound
from taod.scheduler.context import SchedulerContext
from taod.scheduler.policy.dispatch import ended_with_parent
from taod.scheduler.policy.wait_reasons import short
from taod.scheduler.supervision.exit_classification import CANCEL, FINISH, PAUSE
from taod.scheduler.supervision.launch import stopping
from taod.types.job import DetailedStatus
from taod.types.job_requests import RULES, TRAININGS, JobRequest, accepts
from taod.types.reason import CANCELLED_BY_USER, Reason, ReasonCode
from taod.types.reason_text import text
from taod.types.state import State

RESUMED = Reason(ReasonCode.RESUMED)


class JobCommands:
    """Each call validates, writes one transaction, publishes the job and returns it.

    If the returned job has a `stop_intent`, it is on a device, and the caller must stop its run.
    """

    def __init__(self, context: SchedulerContext) -> None:
        self._context = context

    def cancel(self, job_id: str, reason: Reason = CANCELLED_BY_USER) -> JobRecord:
        """Cancel a job that is on no device, with its waiting children; set the stop intent of any other.

        Raises NotFound for an unknown or ended job.
        """
        job = self._not_ended(job_id)
        if not job.state.on_device:
            with self._context.store.durable():
                job = self._context.end(job_id, State.CANCELLED, reason)
                self._end_waiting_children(job)
            return job
        return self._set_stop_intent(job, CANCEL)

    def pause(self, job_id: str) -> JobRecord:
        """Set the stop intent of a running training to pause; cancel any other job. Raises NotFound."""
        job = self._not_ended(job_id)
        if job.state is State.STOPPING:
            return job
        if accepts(JobRequest.PAUSE, job.action, job.state):
            return self._set_stop_intent(job, PAUSE)
        return self.cancel(job_id)

    def finish(self, job_id: str) -> JobRecord:
        """Set the stop intent of a running sweep to finish. Raises BadRequest if it does not run, NotFound."""
        job = self._find(job_id)
        if not accepts(JobRequest.FINISH, job.action, job.state):
            raise BadRequest(f"{short(job)} is {job.state}; {RULES[JobRequest.FINISH].condition}")
        return self._set_stop_intent(job, FINISH)

    def resume(self, job_id: str) -> JobRecord:
        """Queue a job again, or let it wait for its parent or data. Raises BadRequest, NotFound."""
        job = self._find(job_id)
        if not accepts(JobRequest.RESUME, job.action, job.state):
            raise BadRequest(_why_not_resumed(job))
        most = self._context.config.max_queued_per_user
        if most and job.sweep_id is None and self._context.store.queue.pending_of(job.user_id) >= most:
            raise BadRequest(
                f"{short(job)} cannot be resumed now: {most} jobs of yours have not started, the most that "
                "scheduler.max_queued_per_user allows; wait until one has, or cancel one"
            )
        with self._context.store.durable():
            result = self._context.store.jobs.result(job_id)
            result.detailed_status = DetailedStatus(message=text(RESUMED))
            self._context.store.jobs.save_result(job_id, result)
            job = self._context.store.jobs.transition(job_id, self._after_resume(job), RESUMED, retries=0)
        return self._context.publish(job)

    def _after_resume(self, job: JobRecord) -> State:
        if job.parent_id is not None:
            parent = self._context.store.jobs.get(job.parent_id)
            if parent is not None and parent.state is not State.DONE:
                if parent.state.ended:
                    raise BadRequest(f"{short(job)} cannot be resumed: its parent {short(parent)} is {parent.state}")
                return State.WAITING
        return State.QUEUED if self._context.planner.unready(job) is None else State.WAITING

    def _set_stop_intent(self, job: JobRecord, intent: str) -> JobRecord:
        jobs = self._context.store.jobs
        if job.state is State.STOPPING and job.stop_intent == intent:
            return job
        with self._context.store.durable():
            if job.state is State.RUNNING:
                job = jobs.transition(job.id, State.STOPPING, stopping(intent), stop_intent=intent)
            else:
                job = jobs.update(job.id, stop_intent=intent, reason=stopping(intent))
        return self._context.publish(job)

    def _end_waiting_children(self, parent: JobRecord) -> None:
        for child in self._context.store.jobs.children(parent.id):
            end = ended_with_parent(parent, parent.state)
            if child.state in (State.WAITING, State.HELD) and end is not None:
                self._end_waiting_children(self._context.end(child.id, *end))

    def _not_ended(self, job_id: str) -> JobRecord:
        job = self._find(job_id)
        if not accepts(JobRequest.CANCEL, job.action, job.state):
            raise NotFound(
                f"{short(job)} cannot be cancelled: it is {job.state.public} already ({job.reason_text}); "
                f"{RULES[JobRequest.CANCEL].condition}"
            )
        return job

    def _find(self, job_id: str) -> JobRecord:
        job = self._context.store.jobs.get(job_id)
        if job is None:
            raise NotFound(f"there is no job {job_id}")
        return job


def _why_not_resumed(job: JobRecord) -> str:
    if job.action in TRAININGS and job.state is State.STOPPING:
        return f"{short(job)} is still stopping; resume it when it has stopped"
    # The published API uses these words.
    prefix = "" if job.action in TRAININGS else "Action not train: "
    return f"{prefix}{short(job)} cannot be resumed: it is {job.state}; {RULES[JobRequest.RESUME].condition}"
