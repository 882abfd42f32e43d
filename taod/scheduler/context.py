"""Shared scheduler context: the daemon's parts, and the operations that change a job and publish it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import msgspec

from runners.protocol import Command, RunIdentity, Runner, RunRequest, WithSecrets
from runners.registry import RunnerRegistry
from store import Store
from store.records import JobRecord, PendingJob
from taod.clock import Clock, iso
from taod.config import SchedulerConfig, SupervisionConfig
from taod.notify.outbox import Outbox
from taod.paths import Root
from taod.scheduler.devices.inventory import DevicePool
from taod.telemetry.bus import EventBus
from taod.telemetry.log_mask import LogMask
from taod.telemetry.publisher import Publisher
from taod.telemetry.telemetry import STATUS_FILE, Telemetry
from taod.types.job import DetailedStatus, Result
from taod.types.reason import CANCELLED_BY_USER, OF_THE_TOOL, Reason
from taod.types.reason_text import text
from taod.types.state import State
from taod.types.warning import Warning, WarningCode

log = logging.getLogger(__name__)


class Planner(Protocol):
    """Resolves jobs and builds their commands; implemented by the services."""

    def unready(self, job: JobRecord | PendingJob) -> Reason | None:
        """Why the job's data is not ready; None if it is. Equal for all jobs of one owner."""
        ...

    async def prepare(self, job: JobRecord) -> tuple[Runner, Command]:
        """Create the job's folder and specification file, and return its runner and command. Raises BadRequest with a
        remedy."""
        ...

    def secrets(self, job: JobRecord) -> list[str]:
        """Texts to mask in the job's command and log."""
        ...


class JobSupervisor(Protocol):
    """Supervises one job from its lease to its end."""

    @property
    def job_id(self) -> str: ...

    @property
    def ended(self) -> asyncio.Event:
        """Set when the job has left its devices, in whatever state."""
        ...

    @property
    def live(self) -> ActiveRun | None:
        """Its run, once the process is known."""
        ...

    def begin(self, live: ActiveRun | None = None) -> None:
        """Start the leased job, or continue with a run that an earlier daemon started."""
        ...

    def stop(self, reason: Reason = CANCELLED_BY_USER) -> None:
        """Stop the job, whose stop intent has been recorded; `reason`: that of a cancelled job."""
        ...

    def abort(self, cause: str, reason: Reason) -> None:
        """End the run for a reason that is not a user's request."""
        ...

    async def leave(self) -> None:
        """Stop supervising; the run continues."""
        ...


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A run whose process is known."""

    job_id: str
    runner: Runner
    request: RunRequest
    identity: RunIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerContext:
    """The daemon's parts that scheduling needs."""

    store: Store
    root: Root
    runners: RunnerRegistry
    devices: DevicePool
    telemetry: Telemetry
    bus: EventBus
    publisher: Publisher
    planner: Planner
    config: SchedulerConfig
    supervision: SupervisionConfig
    clock: Clock
    outbox: Outbox
    log_mask: LogMask = field(default_factory=LogMask)
    run_started: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a run was started."""

    def mask_log(self, job_id: str, runner: Runner, network: str, action: str) -> None:
        """Overwrite the runner's secrets in the job's log. Blocks."""
        if isinstance(runner, WithSecrets):
            self.log_mask.apply(self.root.job(job_id).log, runner.secrets(network, action))

    def mask_status(self, job_id: str, runner: Runner, network: str, action: str) -> None:
        """Overwrite the runner's secrets in the status file of an ended run. Blocks."""
        if isinstance(runner, WithSecrets):
            path = self.root.job(job_id).status_folder() / STATUS_FILE
            self.log_mask.apply(path, runner.secrets(network, action))
            self.log_mask.forget(path)

    def now(self) -> str:
        return iso(self.clock.time())

    def publish(self, job: JobRecord) -> JobRecord:
        """Publish the job and return it."""
        self.publisher.job(job)
        return job

    def move(self, job_id: str, state: State, reason: Reason, **fields: object) -> JobRecord:
        """Change the state, with the notifications of an end, and publish the job."""
        with self.store.transaction():
            job = self.store.jobs.transition(job_id, state, reason, **fields)
            if state.ended:
                self.outbox.job_ended(job, self.store.jobs.result(job_id))
        return self.publish(job)

    def warn(self, job_id: str, code: WarningCode, warning: Warning | None) -> JobRecord:
        """Replace the job's warning of this code, or remove it (None)."""
        job = self.store.jobs.get(job_id)
        kept = [one for one in (job.warnings if job else []) if one.code is not code]
        if warning is None and job is not None and len(kept) == len(job.warnings):
            return job
        return self.store.jobs.update(job_id, warnings=kept if warning is None else [*kept, warning])

    def follow(self, job: JobRecord, *, fresh: bool) -> None:
        """Follow the status of a new (`fresh`) or adopted run; an error is logged, the run continues."""
        try:
            self.telemetry.start(job, self.root.job(job.id), fresh=fresh)
        except Exception:
            log.exception("the status of job %s is not followed", job.id)

    def end(self, job_id: str, state: State, reason: Reason, result: Result | None = None) -> JobRecord:
        """Record the end or pause of a job with the message in its result and its notifications, in one transaction,
        and publish it."""
        with self.store.transaction():
            kept = result if result is not None else self.store.jobs.result(job_id)
            kept.detailed_status = self._detailed_status(kept.detailed_status, state, reason)
            self.store.jobs.save_result(job_id, kept)
            job = self.store.jobs.transition(job_id, state, reason)
            self.outbox.job_ended(job, kept)
        return self.publish(job)

    def _detailed_status(self, last: DetailedStatus | None, state: State, reason: Reason) -> DetailedStatus:
        """The status with the reason as its message, in the tools' format: local date and time without padding.

        A message from the tool itself keeps its time.
        """
        status, message = last.status if last else "", text(reason)
        if state is State.DONE:
            status = "SUCCESS"
        elif state.ended:
            status = "FAILURE"
        if last is not None and last.date and reason.code in OF_THE_TOOL:
            return msgspec.structs.replace(last, status=status, message=message)
        at = datetime.fromtimestamp(self.clock.time()).astimezone()
        return DetailedStatus(
            date=f"{at.month}/{at.day}/{at.year}",
            time=f"{at.hour}:{at.minute}:{at.second}",
            status=status,
            message=message,
        )
