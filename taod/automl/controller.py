"""Supervises a sweep: starts trials, records their results, ends. Its whole state is in the store."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

import msgspec

from store import Store
from store.records import JobRecord, NewJob, SweepRecord, TrialRecord
from taod.automl import best as files
from taod.automl import encoding, trials
from taod.automl.actions import Finish, Promote, Prune, StartTrial, Step
from taod.automl.algorithms import algorithm
from taod.automl.finalize import SweepFinalizer
from taod.automl.log import SweepLog
from taod.automl.population import perturbed
from taod.automl.proposer import Proposer
from taod.automl.schedule import Snapshot, decide
from taod.backoff import Backoff, passes
from taod.catalogue.network import Network, get_network
from taod.clock import seconds_of
from taod.scheduler.context import ActiveRun, JobSupervisor, SchedulerContext
from taod.scheduler.scheduler import Controls, SupervisorFactory
from taod.telemetry.metric import values
from taod.types.device import DeviceKind
from taod.types.event import EventType
from taod.types.job import DetailedStatus, Result
from taod.types.reason import CANCELLED_BY_SWEEP, CANCELLED_BY_USER, Actor, Reason, ReasonCode, cancelled, fault_of
from taod.types.reason_text import text
from taod.types.state import State

RETRIES = 4
"""Attempts at a turn after an error that does not pass by itself; another request may have caused it."""

log = logging.getLogger(__name__)


class SweepSupervisor:
    """Supervises one sweep, as a RunSupervisor does a run. If its task is cancelled, trials continue, and a later
    daemon continues the sweep from the store."""

    def __init__(
        self,
        context: SchedulerContext,
        controls: Controls,
        proposer: Proposer,
        job_id: str,
        over: Callable[[JobSupervisor], None],
    ) -> None:
        """`over` is called when the sweep has ended or is paused."""
        self.job_id = job_id
        self._cancelled = CANCELLED_BY_USER
        """The reason of the sweep if it is cancelled."""
        self.ended = asyncio.Event()
        self._context = context
        self._controls = controls
        self._proposer = proposer
        self._over = over
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = SweepLog(context.root.job(job_id).log, context.clock)
        self._reported: object = None

    def begin(self, live: object = None) -> None:
        """Start the leased sweep, or continue one of an earlier daemon."""
        self._task = asyncio.create_task(self._supervise(), name=f"sweep {self.job_id}")

    def stop(self, reason: Reason = CANCELLED_BY_USER) -> None:
        """Process the recorded stop intent; `reason`: that of a cancelled sweep."""
        self._cancelled = reason
        self._wake.set()

    @property
    def live(self) -> ActiveRun | None:
        """None: a sweep has no process."""
        return None

    def abort(self, cause: str, reason: Reason) -> None:
        """No effect: a sweep has neither devices nor limits."""

    async def leave(self) -> None:
        """Stop supervising; trials continue."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _supervise(self) -> None:
        try:
            job = self._context.store.jobs.get(self.job_id)
            if job is None:
                return
            async with self._context.bus.subscribe(job.user_id, looks=False) as stream:
                listener = asyncio.create_task(self._listen(stream), name=f"events of sweep {self.job_id}")
                try:
                    await self._drive()
                finally:
                    listener.cancel()
                    await asyncio.gather(listener, return_exceptions=True)
        finally:
            self.ended.set()
            self._over(self)

    async def _listen(self, stream: object) -> None:
        async for event in stream:  # type: ignore[attr-defined]
            if event.type in (EventType.RESET, EventType.JOB_DELETED) or (
                event.type is EventType.JOB and _OF_SWEEP.decode(event.data).sweep_id == self.job_id
            ):
                self._wake.set()

    async def _drive(self) -> None:
        """Advance the sweep after each event until it is over; retry after errors, a few times after one that does not
        pass by itself."""
        backoff = Backoff()
        while True:
            self._wake.clear()
            try:
                if await self._advance():
                    return
                backoff.reset()
            except Exception as error:
                backoff.report(log, error, "sweep %s could not be advanced; retrying", self.job_id)
                await backoff.wait()
                if backoff.failures > RETRIES and not passes(error) and await self._give_up(error):
                    return
                continue
            await self._wake.wait()

    async def _give_up(self, fault: Exception) -> bool:
        """Fail the sweep and cancel its trials. Returns whether this was recorded."""
        try:
            for job in self._context.store.jobs.trials_of(self.job_id):
                if not job.state.ended:
                    await self._controls.cancel(job.id, CANCELLED_BY_SWEEP)
            self._context.end(self.job_id, State.FAILED, fault_of(fault))
        except Exception:
            log.exception("sweep %s could not be ended", self.job_id)
            return False
        return True

    async def _advance(self) -> bool:
        """Record ended trials and do all steps that are possible now. Returns whether the sweep is over."""
        while True:
            job, sweep = self._start_or_find()
            if job is None or sweep is None:
                return True
            self._record_ended_trials(sweep)
            if job.stop_intent is not None:
                finalizer = SweepFinalizer(self._context, self._controls, sweep, self._log)
                return await finalizer.stop(job, self._cancelled, self._seconds(sweep))
            step = decide(self._snapshot(sweep))
            if step is None:
                self._report(sweep)
                return False
            if await self._do(job, sweep, step):
                return True

    def _start_or_find(self) -> tuple[JobRecord | None, SweepRecord | None]:
        """The job and the sweep. Sets a leased sweep to RUNNING and queues its stopped trials again."""
        store = self._context.store
        job, sweep = store.jobs.get(self.job_id), store.sweeps.get(self.job_id)
        if job is None or sweep is None or not job.state.on_device:
            return None, None
        if job.state in (State.LEASED, State.STARTING):
            with store.transaction():
                if sweep.began_at is None:
                    sweep = store.sweeps.update(self.job_id, began_at=self._context.now())
                if job.state is State.LEASED:
                    store.jobs.transition(self.job_id, State.STARTING, Reason(ReasonCode.SWEEP_STARTING))
                job = store.jobs.transition(self.job_id, State.RUNNING, Reason(ReasonCode.SWEEP_RUNNING))
                self._resume_trials()
            self._context.publish(job)
            self._log.write(f"{sweep.settings.algorithm} over {len(sweep.space)} parameters begins")
            for note in sweep.notes:
                self._log.write(note)
        return job, sweep

    def _resume_trials(self) -> None:
        """Queue the trials again that were stopped with their sweep."""
        for trial in self._context.store.sweeps.trials(self.job_id):
            job = self._context.store.jobs.get(trial.job_id) if trial.job_id and trial.outcome == "open" else None
            if job is None:
                continue
            if job.state is State.HELD:
                self._context.move(job.id, State.QUEUED, Reason(ReasonCode.SWEEP_RESUMED))
            elif job.state in (State.PAUSED, State.CANCELLED):
                self._controls.resume(job.id)

    def _record_ended_trials(self, sweep: SweepRecord) -> None:
        store = self._context.store
        for trial in store.sweeps.trials(sweep.job_id):
            if trial.outcome != "open":
                continue
            job = store.jobs.get(trial.job_id) if trial.job_id else None
            if job is not None and not job.state.ended:
                continue
            result = store.jobs.result(job.id) if job is not None else Result()
            ended = trials.ended(trial, job, result, sweep.settings)
            if ended is None:
                continue
            store.sweeps.update_trial(
                sweep.job_id,
                trial.number,
                outcome=ended.outcome,
                reason=ended.reason,
                scores=ended.scores,
                trained=ended.trained,
            )
            self._log.ended(trial, ended, sweep.settings.metric)

    def _snapshot(self, sweep: SweepRecord) -> Snapshot:
        store = self._context.store
        known = store.sweeps.trials(sweep.job_id)
        settings = msgspec.structs.replace(sweep.settings, max_parallel=self._parallel(sweep))
        running: dict[int, dict[int, float]] = {}
        if algorithm(settings.algorithm).schedule == "median":
            for trial in known:
                job = store.jobs.get(trial.job_id) if trial.job_id and trial.outcome == "open" else None
                if job is not None and job.state is State.RUNNING and job.stop_intent is None:
                    running[trial.number] = values(store.jobs.result(job.id), settings.metric)
        return Snapshot(settings=settings, trials=known, running=running, hours=self._seconds(sweep) / 3600)

    def _parallel(self, sweep: SweepRecord) -> int:
        """Maximum number of open trials: as configured, else as many as the devices can run."""
        if sweep.settings.max_parallel:
            return sweep.settings.max_parallel
        site = sweep.settings.site
        devices = self._context.devices.devices
        of_kind = {kind: [device for device in devices if device.kind is kind] for kind in DeviceKind}
        here = of_kind[DeviceKind.GPU] or of_kind[DeviceKind.CPU]
        slots = sum(device.slots for device in ([one for one in devices if one.id == site] if site else here))
        return max(1, slots // max(1, sweep.devices))

    def _seconds(self, sweep: SweepRecord) -> float:
        return self._context.clock.time() - seconds_of(sweep.began_at) if sweep.began_at else 0.0

    async def _do(self, job: JobRecord, sweep: SweepRecord, step: Step) -> bool:
        """Do one step. Returns whether the sweep is over."""
        match step:
            case StartTrial():
                await self._begin(sweep, step)
            case Promote(number, rung, epochs):
                self._promote(sweep, number, rung, epochs)
            case Prune(number, why):
                await self._prune(sweep, number, why)
            case Finish(why):
                await SweepFinalizer(self._context, self._controls, sweep, self._log).finish(why, self._seconds(sweep))
                return True
        return False

    async def _begin(self, sweep: SweepRecord, step: StartTrial) -> None:
        """Start a new trial: ask for its values, then insert it and its job in one transaction."""
        store = self._context.store
        known = store.sweeps.trials(sweep.job_id)
        number = len(known)
        source = known[step.source] if step.source is not None else None
        coordinates, memory, params = await self._point(sweep, known, source)
        job_id = trials.trial_id(sweep.job_id, number)
        if source is not None and source.job_id is not None:
            root = self._context.root
            await asyncio.to_thread(
                files.copy_checkpoint, self._network(sweep), root.job(source.job_id), root.job(job_id)
            )
        trained = source.trained if source is not None else 0
        trial = TrialRecord(
            sweep_id=sweep.job_id,
            number=number,
            job_id=job_id,
            coordinates=coordinates,
            params=params,
            memory=memory | ({"replaces": step.replaces} if step.replaces is not None else {}),
            bracket=step.bracket,
            rung=step.rung,
            epochs=step.epochs,
            first_epochs=trained,
            source=step.source,
            trained=trained,
        )
        with store.transaction():
            parent = store.jobs.get(sweep.job_id)
            if parent is None or parent.state is not State.RUNNING or len(store.sweeps.trials(sweep.job_id)) != number:
                return
            (job,) = store.jobs.add([self._job(parent, sweep, trial)])
            store.sweeps.add_trial(trial)
        self._log.started(trial)
        self._context.publish(job)
        self._controls.wake()
        self._report(sweep)

    async def _point(
        self, sweep: SweepRecord, known: list[TrialRecord], source: TrialRecord | None
    ) -> tuple[dict[str, float], dict[str, object], dict[str, object]]:
        """Coordinates, proposer's memory and parameter values of a new trial; the first one uses the defaults."""
        number = len(known)
        if source is not None:
            draw = random.Random(trials.seed(sweep, number))
            at = perturbed(sweep.space, source.coordinates, draw)
            return at, {}, encoding.values(sweep.space, at, sweep.base)
        defaults = {each.path: each.default for each in sweep.space}
        if number == 0 and sweep.settings.try_default and None not in defaults.values():
            return encoding.coordinates(sweep.space, defaults, sweep.base), {}, defaults
        asked = await self._proposer.ask(trials.question(sweep, algorithm(sweep.settings.algorithm), known))
        if asked.note and asked.note not in sweep.notes:
            self._context.store.sweeps.update(sweep.job_id, notes=[*sweep.notes, asked.note])
            self._context.store.jobs.note(sweep.job_id, Reason(ReasonCode.SAMPLER, {"text": asked.note}))
        return asked.coordinates, asked.memory, encoding.values(sweep.space, asked.coordinates, sweep.base)

    def _job(self, parent: JobRecord, sweep: SweepRecord, trial: TrialRecord) -> NewJob:
        assert trial.job_id is not None
        return NewJob(
            id=trial.job_id,
            user_id=parent.user_id,
            owner_kind=parent.owner_kind,
            owner_id=parent.owner_id,
            network=parent.network,
            action=parent.action,
            parent_id=None,
            state=State.QUEUED,
            reason=Reason(ReasonCode.TRIAL, {"trial": trial.number, "sweep": parent.id}),
            devices_wanted=sweep.devices,
            priority=parent.priority,
            metric=sweep.settings.metric,
            spec=encoding.put(sweep.base, trial.params),
            site=sweep.settings.site,
            asked_runner=parent.asked_runner,
            sweep_id=parent.id,
            trial=trial.number,
            release=parent.release,
        )

    def _promote(self, sweep: SweepRecord, number: int, rung: int, epochs: int) -> None:
        """Queue the trial's job again; its tool continues from the checkpoint in the job's folder."""
        store = self._context.store
        trial = store.sweeps.trials(sweep.job_id)[number]
        if trial.job_id is None:
            store.sweeps.update_trial(sweep.job_id, number, outcome="failed", reason=Reason(ReasonCode.JOB_DELETED))
            return
        reason = Reason(ReasonCode.TRIAL_PROMOTED, {"epochs": epochs})
        with store.transaction():
            store.sweeps.update_trial(sweep.job_id, number, outcome="open", reason=None, rung=rung, epochs=epochs)
            result = store.jobs.result(trial.job_id)
            result.detailed_status = DetailedStatus(message=text(reason))
            store.jobs.save_result(trial.job_id, result)
            job = store.jobs.transition(trial.job_id, State.QUEUED, reason)
        self._log.write(f"trial {number} is promoted to {epochs} epochs")
        self._context.publish(job)
        self._controls.wake()

    async def _prune(self, sweep: SweepRecord, number: int, why: Reason) -> None:
        store = self._context.store
        trial = store.sweeps.trials(sweep.job_id)[number]
        if trial.job_id is not None:
            store.sweeps.update_trial(sweep.job_id, number, reason=trials.pruned(why))
            self._log.write(f"trial {number} is stopped: {text(why)}")
            await self._controls.cancel(trial.job_id, cancelled(Actor.PRUNING_SWEEP, why))

    def _report(self, sweep: SweepRecord) -> None:
        """If trials have changed, store and publish the sweep's progress and delete unneeded checkpoints."""
        finalizer = SweepFinalizer(self._context, self._controls, sweep, self._log)
        known = self._context.store.sweeps.trials(sweep.job_id)
        now = [(trial.number, trial.outcome, trial.rung, trial.trained) for trial in known]
        if now != self._reported:
            self._reported = now
            finalizer.report(known, self._seconds(sweep))
            finalizer.clear(known, over=False)

    def _network(self, sweep: SweepRecord) -> Network:
        job = self._context.store.jobs.get(sweep.job_id)
        assert job is not None
        return get_network(job.network, job.release)


def sweep_supervisors(store: Store, proposer: Proposer) -> SupervisorFactory:
    """The scheduler's factory for supervisors of sweeps."""

    def make(
        controls: Controls, context: SchedulerContext, job_id: str, over: Callable[[JobSupervisor], None]
    ) -> JobSupervisor | None:
        if store.sweeps.get(job_id) is None:
            return None
        return SweepSupervisor(context, controls, proposer, job_id, over)

    return make


class _SweepReference(msgspec.Struct):
    sweep_id: str | None = None


_OF_SWEEP = msgspec.json.Decoder(_SweepReference)
