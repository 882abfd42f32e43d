"""The scheduler: leases devices to queued jobs, executes requests about jobs, re-adopts runs."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol

from runners.registry import RunnerRegistry
from store import Store
from store.records import HolderRecord, JobFilter, JobRecord, PendingJob
from taod.backoff import Backoff, passes
from taod.clock import Clock, SystemClock
from taod.config import NotifyConfig, SchedulerConfig, SupervisionConfig
from taod.notify.outbox import Outbox
from taod.paths import Root
from taod.scheduler.context import ActiveRun, JobSupervisor, Planner, SchedulerContext
from taod.scheduler.devices.device_monitor import DeviceMonitor
from taod.scheduler.devices.inventory import DevicePool
from taod.scheduler.job_commands import JobCommands
from taod.scheduler.policy import cluster_queue
from taod.scheduler.policy.dispatch import (
    Decision,
    EndUnplaceable,
    Explain,
    Lease,
    Promote,
    Snapshot,
    decide,
    most_wanted,
)
from taod.scheduler.policy.fair_share import Job, Line, Turns
from taod.scheduler.policy.reservations import Holder
from taod.scheduler.supervision.adoption import adopt
from taod.scheduler.supervision.log_retention import keep_logs
from taod.scheduler.supervision.retry import Retries
from taod.scheduler.supervision.run_limits import LOST, check, limits
from taod.scheduler.supervision.supervisor import RunSupervisor
from taod.scheduler.supervision.usage import UsageMonitor
from taod.telemetry.bus import EventBus
from taod.telemetry.publisher import Publisher
from taod.telemetry.telemetry import Telemetry
from taod.types.common import OwnerKind
from taod.types.device import Device, DeviceKind
from taod.types.job import JobUsage
from taod.types.reason import CANCELLED_BY_SWEEP, CANCELLED_BY_USER, Actor, Reason, ReasonCode, cancelled, fault_of
from taod.types.state import ACTIVE, ON_DEVICE, State


class Controls(Protocol):
    """The scheduler's operations that the supervisor of a sweep uses for its trials."""

    def wake(self) -> None: ...

    async def cancel(self, job_id: str, reason: Reason = CANCELLED_BY_USER) -> JobRecord: ...

    async def pause(self, job_id: str) -> JobRecord: ...

    def resume(self, job_id: str) -> JobRecord: ...


SupervisorFactory = Callable[[Controls, SchedulerContext, str, Callable[[JobSupervisor], None]], JobSupervisor | None]
"""Supervisor factory for processless jobs (sweeps), given the job's id and a callback for its end; None for others."""

log = logging.getLogger(__name__)

CHANGED_AT_ONCE = 50
"""Jobs that one pass moves into the queue or ends; each takes 0.4 ms, and others follow in the next pass."""


class Scheduler:
    """Runs on one event loop; only reading of devices and other blocking calls use threads."""

    def __init__(
        self,
        *,
        store: Store,
        root: Root,
        runners: RunnerRegistry,
        devices: DevicePool,
        telemetry: Telemetry,
        bus: EventBus,
        publisher: Publisher,
        planner: Planner,
        config: SchedulerConfig,
        supervision: SupervisionConfig | None = None,
        clock: Clock | None = None,
        outbox: Outbox | None = None,
        supervisor_factory: SupervisorFactory | None = None,
    ) -> None:
        """Without an outbox nothing is notified. Raises ConfigError for an invalid exit in `supervision`."""
        supervision, clock = supervision or SupervisionConfig(), clock or SystemClock()
        check(supervision)
        self._context = SchedulerContext(
            store=store,
            root=root,
            runners=runners,
            devices=devices,
            telemetry=telemetry,
            bus=bus,
            publisher=publisher,
            planner=planner,
            config=config,
            supervision=supervision,
            clock=clock,
            outbox=outbox or Outbox(store, NotifyConfig(), clock),
        )
        self._supervisions: dict[str, JobSupervisor] = {}
        self._supervisor_factory = supervisor_factory
        self._commands = JobCommands(self._context)
        self._device_monitor = DeviceMonitor(self._context, self.wake, self._device_lost)
        self._retries = Retries(self._context, self.wake)
        self._usage = UsageMonitor(self._context, self._live)
        self._log_retention: asyncio.Task[None] | None = None
        self._draining = False
        self._pass: asyncio.Handle | None = None
        self._retry_timer: asyncio.TimerHandle | None = None
        self._backoff = Backoff()
        self._working = False

    async def start(self) -> None:
        """Re-adopt runs, finalize ended ones, requeue jobs that never started; then start scheduling."""
        self._working = True
        await asyncio.gather(*(self._adopt(job) for job in self._context.store.jobs.in_states(ON_DEVICE)))
        self._device_monitor.start()
        self._usage.start()
        self._log_retention = asyncio.create_task(keep_logs(self._context), name="old logs")
        self._retries.schedule()
        self.wake()

    async def stop(self) -> None:
        """Stop scheduling and supervising; runs continue."""
        self._working = False
        if self._pass is not None:
            self._pass.cancel()
            self._pass = None
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None
        self._retries.stop()
        if self._log_retention is not None:
            self._log_retention.cancel()
            await asyncio.gather(self._log_retention, return_exceptions=True)
        await self._usage.stop()
        await self._device_monitor.stop()
        await asyncio.gather(*(supervision.leave() for supervision in list(self._supervisions.values())))

    def wake(self) -> None:
        """Start a scheduling pass at the loop's next iteration; calls until then coalesce into one pass."""
        if self._working and self._pass is None:
            self._pass = asyncio.get_running_loop().call_soon(self._schedule_pass)

    async def cancel(self, job_id: str, reason: Reason = CANCELLED_BY_USER) -> JobRecord:
        """Cancel a waiting job at once, and stop a run. Raises NotFound for an unknown or ended job."""
        job = self._commands.cancel(job_id, reason)
        await self._stop(job, reason)
        if job.state.ended:
            # A paused sweep has no supervisor that would cancel its trials.
            for trial in self._context.store.jobs.trials_of(job_id):
                if not trial.state.ended:
                    await self.cancel(trial.id, CANCELLED_BY_SWEEP)
        self.wake()
        return job

    async def pause(self, job_id: str) -> JobRecord:
        """Stop a running training so that it can be resumed from its checkpoint; cancel any other job.

        Raises NotFound for an unknown or ended job.
        """
        job = self._commands.pause(job_id)
        await self._stop(job)
        self.wake()
        return job

    async def finish(self, job_id: str) -> JobRecord:
        """End a running sweep early, with the best trial so far. Raises BadRequest, NotFound."""
        job = self._commands.finish(job_id)
        await self._stop(job)
        return job

    def resume(self, job_id: str) -> JobRecord:
        """Queue a paused, failed or cancelled training again. Raises BadRequest, NotFound."""
        job = self._commands.resume(job_id)
        self.wake()
        return job

    async def cancel_owner(self, owner_kind: OwnerKind, owner_id: str) -> None:
        """Cancel the jobs of a model or dataset, and wait until none of them runs."""
        wanted = JobFilter(owner_kind=owner_kind, owner_id=owner_id, states=ACTIVE | {State.PAUSED})
        by = Actor.MODEL_DELETION if owner_kind == "model" else Actor.DATASET_DELETION
        jobs, _ = self._context.store.jobs.list(wanted)
        for job in jobs:
            now = self._context.store.jobs.get(job.id)
            if now is not None and not now.state.ended:
                await self.cancel(job.id, cancelled(by))
                await asyncio.sleep(0)  # Others are served between thousands of jobs.
        runs = [self._supervisions[job.id] for job in jobs if job.id in self._supervisions]
        await asyncio.gather(*(run.ended.wait() for run in runs))

    async def drain(self) -> None:
        """Start no more runs, and wait for the active ones. The next daemon continues sweeps."""
        self._draining = True
        while runs := [watch for watch in self._supervisions.values() if isinstance(watch, RunSupervisor)]:
            await asyncio.gather(*(run.ended.wait() for run in runs))

    async def cancel_all(self) -> None:
        """Cancel all jobs except ended and paused ones, and wait until no run is active."""
        self._draining = True
        for job in self._context.store.jobs.in_states(ACTIVE):
            now = self._context.store.jobs.get(job.id)
            if now is not None and not now.state.ended:
                await self.cancel(job.id, cancelled(Actor.DAEMON))
                await asyncio.sleep(0)
        while self._supervisions:
            await asyncio.gather(*(watch.ended.wait() for watch in list(self._supervisions.values())))

    def usage(self, job_id: str) -> JobUsage | None:
        """The resource usage of the job's run; None if it has no run that can be measured."""
        return self._usage.measure(job_id)

    async def mask_log(self, job_id: str) -> None:
        """Overwrite the secrets in the log of an active run; logs of ended runs are masked already."""
        live = self._supervisions[job_id].live if job_id in self._supervisions else None
        if live is not None:
            command = live.request.command
            await asyncio.to_thread(self._context.mask_log, job_id, live.runner, command.network, command.action)

    def _live(self) -> dict[str, ActiveRun]:
        return {job_id: one.live for job_id, one in self._supervisions.items() if one.live is not None}

    def _device_lost(self, job_id: str, reason: Reason) -> None:
        if job_id in self._supervisions:
            self._supervisions[job_id].abort(LOST, reason)

    async def _adopt(self, job: JobRecord) -> None:
        if (watch := self._processless(job.id)) is not None:
            self._supervisions[job.id] = watch
            watch.begin()
            return
        try:
            live = await adopt(self._context, job)
        except Exception:
            log.exception("job %s could not be re-adopted; retrying", job.id)
            supervision = self._supervisions[job.id] = RunSupervisor(self._context, job.id, self._over)
            supervision.recover()
            return
        if live is not None:
            supervision = self._supervisions[job.id] = RunSupervisor(self._context, job.id, self._over)
            now = self._context.store.jobs.get(job.id)
            if now is not None and now.stop_intent is not None:
                supervision.stop()
            supervision.begin(live)

    async def _stop(self, job: JobRecord, reason: Reason = CANCELLED_BY_USER) -> None:
        if job.stop_intent is None:
            return
        if job.id not in self._supervisions:
            await self._adopt(job)
        if job.id in self._supervisions:
            self._supervisions[job.id].stop(reason)

    def _supervise(self, job_id: str) -> JobSupervisor:
        supervision = self._processless(job_id) or RunSupervisor(self._context, job_id, self._over)
        self._supervisions[job_id] = supervision
        return supervision

    def _processless(self, job_id: str) -> JobSupervisor | None:
        if self._supervisor_factory is None:
            return None
        return self._supervisor_factory(self, self._context, job_id, self._over)

    def _over(self, supervision: JobSupervisor) -> None:
        if self._supervisions.get(supervision.job_id) is supervision:
            del self._supervisions[supervision.job_id]
        self._usage.forget(supervision.job_id)
        if self._working:
            self._retries.schedule()
        self.wake()

    def _schedule_pass(self) -> None:
        """Run a scheduling pass. A failed one is repeated after a delay, since no other event would start it."""
        self._pass = None
        try:
            complete = self._decide()
        except Exception as error:
            self._backoff.report(log, error, "the scheduling pass failed; retrying")
            complete = False
        if not complete:
            self._pass_later()

    def _pass_later(self) -> None:
        if self._working and self._retry_timer is None:
            self._retry_timer = asyncio.get_running_loop().call_later(self._backoff.next_s(), self._wake_later)

    def _wake_later(self) -> None:
        self._retry_timer = None
        self.wake()

    def _decide(self) -> bool:
        """Decide and apply. Returns whether all decisions could be applied."""
        complete = True
        devices = self._device_monitor.for_schedule_pass()
        local = [device for device in devices if device.kind is not DeviceKind.CLUSTER]
        snapshot, more = self._snapshot(local)
        decisions = decide(snapshot)
        changes = [each for each in decisions if isinstance(each, Promote | EndUnplaceable)]
        if more := more or len(changes) > CHANGED_AT_ONCE:
            # Nothing is leased before all jobs that may be served first are in the queue.
            decisions = [*changes[:CHANGED_AT_ONCE], *(each for each in decisions if isinstance(each, Explain))]
        for site in devices if not more else ():
            if site.kind is DeviceKind.CLUSTER:
                decisions += self._serve_cluster(site)
        for decision in decisions:
            if not isinstance(decision, Explain) and not (self._draining and isinstance(decision, Lease)):
                try:
                    self._apply(decision)
                except Exception as error:
                    self._backoff.report(log, error, "%r could not be applied", decision)
                    if passes(error):
                        # Later decisions assume this one: its job is promoted before it is leased.
                        complete = False
                        break
                    complete = self._fail(decision.job_id, error) and complete
        explanations = [decision for decision in decisions if isinstance(decision, Explain)]
        if explanations:
            # In the loop's next iteration, after the start of this pass's runs.
            asyncio.get_running_loop().call_soon(self._explain, explanations, more and complete)
        elif complete:
            self._backoff.reset()
            if more:
                self.wake()
        if any(isinstance(decision, EndUnplaceable) or self._promoted_to_cluster(decision) for decision in decisions):
            # Children of ended jobs and jobs just promoted into a cluster's queue were not part of this pass.
            self.wake()
        self._device_monitor.publish_leases()
        return complete

    def _fail(self, job_id: str, fault: Exception) -> bool:
        """Fail a job after an error that does not pass. Returns whether this is recorded."""
        try:
            job = self._context.store.jobs.get(job_id)
            if job is not None and not job.state.ended and job_id not in self._supervisions:
                self._context.end(job_id, State.FAILED, fault_of(fault))
        except Exception as error:
            self._backoff.report(log, error, "job %s could not be given up", job_id)
            return False
        return True

    def _serve_cluster(self, site: Device) -> list[Lease | Explain]:
        queue = self._context.store.queue.queued_for_cluster(site.id, cluster_queue.decisive_jobs(site))
        return cluster_queue.serve(queue, site, self._paused())

    def _paused(self) -> Reason | None:
        pause = self._context.store.queue.paused()
        return None if pause is None else Reason(ReasonCode.QUEUE_PAUSED, {"by": pause.by, "message": pause.reason})

    def _promoted_to_cluster(self, decision: Decision) -> bool:
        if not isinstance(decision, Promote):
            return False
        job = self._context.store.jobs.get(decision.job_id)
        return job is not None and bool(job.site)

    def _snapshot(self, devices: list[Device]) -> tuple[Snapshot, bool]:
        """What to decide from, and whether more jobs wait for a decision than it has."""
        more = False
        queue = self._context.store.queue
        pending = queue.to_explain(most_wanted(devices))
        unready: dict[str, Reason] = {}
        of_owner: dict[str, Reason | None] = {}
        for one in queue.waiting_owners():
            reason = of_owner[one.owner_id] = self._unready(one)
            jobs = queue.waiting_of(one.owner_id, reason, CHANGED_AT_ONCE)
            more |= len(jobs) == CHANGED_AT_ONCE
            pending += jobs
            if reason is not None:
                unready.update((job.id, reason) for job in jobs)
        followers = queue.waiting_for_parents()
        parents = queue.named({job.parent_id for job in followers if job.parent_id})
        for job in followers:
            if job.parent_id in parents and parents[job.parent_id].state is State.DONE:
                if job.owner_id not in of_owner:
                    of_owner[job.owner_id] = self._unready(job)
                reason = of_owner[job.owner_id]
                if reason is not None:
                    unready[job.id] = reason
        lines = self._lines()
        snapshot = Snapshot(
            pending + followers,
            parents,
            unready,
            devices,
            lines=lines,
            holders={each.id: Holder(each.user_id, self._ends_by(each)) for each in queue.holders()},
            served=queue.served(line.user_id for line in lines),
            rules=self._context.config,
            paused=self._paused(),
            now_s=self._context.clock.time(),
            wall_time_s=self._wall_time_s,
        )
        return snapshot, more

    def _wall_time_s(self, job: Job | HolderRecord) -> float | None:
        """Seconds after which supervision has ended a run of this job, including the grace period; None: never."""
        wall_s = limits(self._context.supervision, job.network, job.action).wall_s
        return wall_s + self._context.config.grace_s if wall_s else None

    def _ends_by(self, holder: HolderRecord) -> float | None:
        wall_s = self._wall_time_s(holder)
        if wall_s is None or holder.started_at is None:
            return None
        return datetime.fromisoformat(holder.started_at).timestamp() + wall_s

    def _lines(self) -> list[Line]:
        queue = self._context.store.queue
        return [
            Line(first.priority, first.user_id, first.owner_kind, itertools.chain([first], queue.behind(first)))
            for first in queue.fronts()
        ]

    def turns(self) -> Iterator[PendingJob]:
        """The queued jobs in the order of service, as if all of them fitted now; lazy."""
        queue, lines = self._context.store.queue, self._lines()
        running = Counter(each.user_id for each in queue.holders())
        served = queue.served(line.user_id for line in lines)
        turns = Turns(lines, running, served, self._context.config.ageing_s_per_point)
        for job in turns:
            turns.count(job.user_id)
            assert isinstance(job, PendingJob)
            yield job

    def _unready(self, job: PendingJob) -> Reason | None:
        """Why the data of the job's owner is not ready; None if it is."""
        try:
            return self._context.planner.unready(job)
        except Exception as error:
            log.exception("the state of the data of job %s cannot be read", job.id)
            return Reason(ReasonCode.DATA_UNKNOWN, {"error": str(error)})

    def _explain(self, explanations: list[Explain], more: bool) -> None:
        """Record and publish reasons, all in one transaction. `more`: another pass follows."""
        if not self._working:
            return
        jobs = self._context.store.jobs
        try:
            with self._context.store.transaction():
                explained = [jobs.explain(each.job_id, each.reason) for each in explanations]
        except Exception as error:
            self._backoff.report(log, error, "why jobs wait could not be recorded")
            if passes(error):
                self._pass_later()
        else:
            if self._retry_timer is None:
                self._backoff.reset()
            if more:
                self.wake()
            for job in explained:
                if job is not None:
                    self._context.publish(job)

    def _apply(self, decision: Promote | EndUnplaceable | Lease) -> None:
        context = self._context
        match decision:
            case Promote(job_id, reason):
                context.move(job_id, State.QUEUED, reason)
            case EndUnplaceable(job_id, state, reason):
                context.end(job_id, state, reason)
            case Lease(job_id, slots, reason):
                context.publish(context.store.jobs.lease(job_id, slots, reason))
                self._supervise(job_id).begin()
