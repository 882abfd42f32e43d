"""Reports, pauses and ends sweeps: result of the job, best model, deletion of checkpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from store.records import JobRecord, SweepRecord, TrialRecord
from taod.automl import best as files
from taod.automl import sweep_result, trials
from taod.automl.algorithms import algorithm
from taod.automl.log import SweepLog
from taod.automl.schedule import best, score
from taod.catalogue.network import get_network
from taod.scheduler.context import SchedulerContext
from taod.scheduler.scheduler import Controls
from taod.scheduler.supervision.exit_classification import CANCEL, FINISH
from taod.types.job import Result
from taod.types.reason import CANCELLED_BY_SWEEP, Actor, Reason, ReasonCode, cancelled
from taod.types.reason_text import text
from taod.types.state import State


class SweepFinalizer:
    """Operations on one sweep in its recorded state."""

    def __init__(self, context: SchedulerContext, controls: Controls, sweep: SweepRecord, log: SweepLog) -> None:
        self._context = context
        self._controls = controls
        self._sweep = sweep
        self._log = log

    def report(self, trials: Sequence[TrialRecord], seconds: float) -> Result:
        """Store the present result of the sweep's job, notify of a new best trial, and publish the job. Returns the
        result."""
        store, settings = self._context.store, self._sweep.settings
        first = best(trials, settings)
        of_best = store.jobs.result(first.job_id) if first is not None and first.job_id is not None else None
        result = sweep_result.result(self._sweep, trials, of_best, seconds)
        value = score(first, settings) if first is not None else None
        with store.transaction():
            job = store.jobs.save_result(self._sweep.job_id, result, metric_value=value)
            if first is not None and value is not None:
                self._note_best(job, first, value)
        self._context.publish(job)
        return result

    def _note_best(self, job: JobRecord, trial: TrialRecord, value: float) -> None:
        """Notify if a trial is better than all before; a promoted trial may have been the best before, too."""
        sweep = self._context.store.sweeps.get(job.id)
        assert sweep is not None
        before, metric = sweep.best, sweep.settings.metric
        if before is None or (value < before if sweep.settings.minimise else value > before):
            self._context.store.sweeps.update(job.id, best=value)
            self._context.outbox.sweep_best(job, metric, value, trial.number, before)

    async def finish(self, why: Reason, seconds: float) -> None:
        """End the sweep, with the best trial as its model. Idempotent."""
        store, sweep = self._context.store, self._sweep
        trials = store.sweeps.trials(sweep.job_id)
        first = best(trials, sweep.settings)
        result = self.report(trials, seconds)
        if first is None or first.job_id is None:
            reason = sweep_result.failure(trials)
            self._log.write(f"the sweep failed: {text(reason)}")
            self._context.end(sweep.job_id, State.FAILED, reason, result)
            return
        job = store.jobs.specified(first.job_id)
        assert job is not None
        scores = self._scores(first)
        checkpoint = await asyncio.to_thread(self._install_best, job, scores)
        self.clear(trials, over=True)
        value = score(first, sweep.settings)
        reason = Reason(
            ReasonCode.SWEEP_DONE,
            {
                "trial": first.number,
                "trials": len(trials),
                "metric": sweep.settings.metric,
                "value": value,
                "why": why.document(),
                "checkpoint": checkpoint is not None,
            },
        )
        self._log.write(text(reason))
        with store.transaction():
            # Children of the sweep (evaluation, export) use the best trial's specification.
            store.jobs.update(sweep.job_id, spec=job.spec)
            self._context.end(sweep.job_id, State.DONE, reason, result)

    async def early(self, seconds: float) -> bool:
        """Cancel open trials; once there are none, end with the best one. Returns whether the sweep is over."""
        store, running = self._context.store, False
        for trial in store.sweeps.trials(self._sweep.job_id):
            of_trial = store.jobs.get(trial.job_id) if trial.job_id and trial.outcome == "open" else None
            if of_trial is None or of_trial.state.ended:
                continue
            running = True
            if of_trial.state is not State.STOPPING:
                store.sweeps.update_trial(trial.sweep_id, trial.number, reason=trials.pruned(trials.EARLY))
                await self._controls.cancel(of_trial.id, cancelled(Actor.PRUNING_SWEEP, trials.EARLY))
        if running:
            return False
        known = store.sweeps.trials(self._sweep.job_id)
        if best(known, self._sweep.settings) is None:
            reason = Reason(ReasonCode.SWEEP_EMPTY)
            self._log.write(text(reason))
            self._context.end(self._sweep.job_id, State.FAILED, reason, self.report(known, seconds))
        else:
            await self.finish(Reason(ReasonCode.STOPPED_EARLY), seconds)
        return True

    async def stop(self, job: JobRecord, reason: Reason, seconds: float) -> bool:
        """Cancel or pause the trials; once none of them runs, the sweep too. Returns whether the sweep is over."""
        if job.stop_intent == FINISH:
            return await self.early(seconds)
        store = self._context.store
        running = False
        for trial in store.sweeps.trials(job.id):
            of_trial = store.jobs.get(trial.job_id) if trial.job_id else None
            if of_trial is None or of_trial.state.ended or of_trial.state in (State.PAUSED, State.HELD):
                if of_trial is not None and of_trial.state in (State.PAUSED, State.HELD) and job.stop_intent == CANCEL:
                    await self._controls.cancel(of_trial.id, CANCELLED_BY_SWEEP)
                continue
            if job.stop_intent == CANCEL:
                stopped = await self._controls.cancel(of_trial.id, CANCELLED_BY_SWEEP)
            elif of_trial.state in (State.QUEUED, State.WAITING):
                stopped = self._context.move(of_trial.id, State.HELD, Reason(ReasonCode.SWEEP_HELD))
            elif of_trial.state is State.LEASED:
                running = True  # It is about to start; only then it can be paused.
                continue
            else:
                stopped = await self._controls.pause(of_trial.id)
            running = running or stopped.state.on_device
        if running:
            return False
        if job.stop_intent == CANCEL:
            self._end(job, State.CANCELLED, reason)
        else:
            progress = sweep_result.progress(self._sweep.settings, store.sweeps.trials(job.id))
            self._end(job, State.PAUSED, Reason(ReasonCode.SWEEP_PAUSED, progress))
        return True

    def clear(self, trials: Sequence[TrialRecord], *, over: bool) -> None:
        """If the model wants it, delete the checkpoints of trials that are not continued, except the best one's."""
        settings = self._sweep.settings
        if not settings.delete_checkpoints:
            return
        first = best(trials, settings)
        for trial in trials:
            kept = trial.outcome == "open" or trial.cleared or trial.job_id is None
            promotable = not over and algorithm(settings.algorithm).in_rungs and trial.outcome == "done"
            if kept or promotable or (first is not None and trial.number == first.number):
                continue
            assert trial.job_id is not None
            count = files.clear(self._context.root.job(trial.job_id))
            self._context.store.sweeps.update_trial(self._sweep.job_id, trial.number, cleared=True)
            self._log.write(f"trial {trial.number}: {count} checkpoints deleted")

    def _end(self, job: JobRecord, state: State, reason: Reason) -> None:
        self._log.write(text(reason))
        if job.state is not State.STOPPING:
            self._context.store.jobs.transition(job.id, State.STOPPING, reason, stop_intent=job.stop_intent)
        self._context.end(job.id, state, reason)

    def _install_best(self, job: JobRecord, scores: dict[int, float]) -> object:
        root = self._context.root
        return files.install_best(
            get_network(job.network, job.release), root.job(job.id), root.job(self._sweep.job_id), scores
        )

    def _scores(self, trial: TrialRecord) -> dict[int, float]:
        """Epoch → score, higher is better, if the best checkpoint is wanted; else empty."""
        if self._sweep.settings.value != "best":
            return {}
        sign = -1 if self._sweep.settings.minimise else 1
        return {int(epoch): sign * value for epoch, value in trial.scores.items()}
