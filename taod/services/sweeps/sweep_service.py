"""Sweeps for clients: trials, the best one, importances of parameters."""

from __future__ import annotations

import asyncio
import csv
import io
import logging

import msgspec

from store import Store
from store.records import JobRecord, SweepRecord, TrialRecord
from taod.automl import trials
from taod.automl.algorithms import algorithm
from taod.automl.proposer import Proposer
from taod.automl.schedule import best, epochs_trained, score
from taod.automl.sweep_result import planned
from taod.errors import NotFound
from taod.scheduler.scheduler import Scheduler
from taod.services.snapshots import Snapshots
from taod.types.reason_text import text
from taod.types.sweep import Importance, SweepView, TrialView

log = logging.getLogger(__name__)

_MAX_CACHED = 64
MIN_TRIALS = 4
"""Number of trials with a value that importances need."""


class Sweeps:
    """Operations on sweeps."""

    def __init__(self, store: Store, proposer: Proposer, scheduler: Scheduler, snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots
        self._scheduler = scheduler
        self._proposer = proposer
        self._importances: dict[tuple[str, int], list[Importance]] = {}
        self._computing: dict[str, asyncio.Task[list[Importance]]] = {}
        """Sweep id → running computation."""

    async def view(self, job: JobRecord) -> SweepView:
        """The sweep of a job. Raises NotFound if the job is not a sweep."""
        view, sweep, known = await self._snapshots.run(job.user_id, self._view, job)
        view.importances = await self._importance(sweep, known, wait=job.state.ended)
        return view

    def _view(self, job: JobRecord) -> tuple[SweepView, SweepRecord, list[TrialRecord]]:
        """The sweep of a job without its importances, and its records."""
        sweep, known = self._found(job)
        settings = sweep.settings
        first = best(known, settings)
        view = SweepView(
            job_id=job.id,
            state=job.state,
            reason=job.reason_text,
            algorithm=settings.algorithm,
            sampler=algorithm(settings.algorithm).sampler,
            metric=settings.metric,
            direction="minimise" if settings.minimise else "maximise",
            best=None if first is None else first.number,
            best_value=None if first is None else score(first, settings),
            best_params=None if first is None else first.params,
            trials=[self._trial(sweep, trial) for trial in known],
            planned=planned(settings),
            space=sweep.space,
            notes=sweep.notes,
            importances=[],
            epochs_trained=epochs_trained(known),
            started_at=sweep.began_at,
            ended_at=job.ended_at,
            max_parallel=settings.max_parallel,
        )
        return view, sweep, known

    async def finish(self, job: JobRecord) -> None:
        """End the sweep with the best trial so far.

        Raises NotFound if the job is not a sweep, BadRequest if it does not run.
        """
        self._found(job)
        await self._scheduler.finish(job.id)

    async def table(self, job: JobRecord) -> str:
        """The trials as CSV, one column per parameter. Raises NotFound if the job is not a sweep."""
        return await self._snapshots.run(job.user_id, self._table, job)

    def _table(self, job: JobRecord) -> str:
        sweep, known = self._found(job)
        paths = [each.path for each in sweep.space]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["number", "job_id", "outcome", "state", sweep.settings.metric, "epochs", *paths, "reason"])
        for trial in known:
            view = self._trial(sweep, trial)
            value = "" if view.value is None else repr(view.value)
            state = "" if view.state is None else view.state.value
            params = [msgspec.json.encode(view.params.get(path)).decode().strip('"') for path in paths]
            writer.writerow(
                [view.number, view.job_id or "", view.outcome, state, value, view.epochs, *params, view.reason]
            )
        return text.getvalue()

    def _found(self, job: JobRecord) -> tuple[SweepRecord, list[TrialRecord]]:
        sweep = self._store.sweeps.get(job.id)
        if sweep is None:
            hint = f"; it is a trial of sweep {job.sweep_id}" if job.sweep_id else ""
            raise NotFound(f"job {job.id} ({job.action}) is no sweep{hint}; a train of a model with automl_enabled is")
        return sweep, self._store.sweeps.trials(job.id)

    def _trial(self, sweep: SweepRecord, trial: TrialRecord) -> TrialView:
        job = self._store.jobs.get(trial.job_id) if trial.job_id else None
        of_job = job.reason if job is not None and trial.outcome == "open" else None
        reason = of_job if trial.reason is None else trial.reason
        return TrialView(
            number=trial.number,
            job_id=trial.job_id,
            params=trial.params,
            value=score(trial, sweep.settings),
            epochs=max(trial.trained, (job.progress.epoch or 0) if job is not None else 0),
            state=None if job is None else job.state,
            outcome=trial.outcome,
            reason="" if reason is None else text(reason),
            rung=trial.rung,
            bracket=trial.bracket,
            source=trial.source,
        )

    async def _importance(self, sweep: SweepRecord, known: list[TrialRecord], *, wait: bool) -> list[Importance]:
        """Importances of the parameters, computed once per number of ended trials.

        `wait` False: the last known ones, while new ones are computed in the background for seconds.
        """
        count = sum(1 for trial in known if trial.scores)
        if count < MIN_TRIALS or len(sweep.space) < 2:
            return [Importance(sweep.space[0].path, 1.0)] if count >= MIN_TRIALS else []
        key = (sweep.job_id, count)
        if key in self._importances:
            return self._importances[key]
        if wait:
            return await self._compute(key, sweep, known)
        if sweep.job_id not in self._computing:
            task = asyncio.create_task(self._compute(key, sweep, known), name=f"importances of {sweep.job_id}")
            self._computing[sweep.job_id] = task
            task.add_done_callback(lambda task: self._computed(sweep.job_id, task))
        earlier = [seen for job_id, seen in self._importances if job_id == sweep.job_id]
        return self._importances[sweep.job_id, max(earlier)] if earlier else []

    async def _compute(self, key: tuple[str, int], sweep: SweepRecord, known: list[TrialRecord]) -> list[Importance]:
        question = trials.question(sweep, algorithm(sweep.settings.algorithm), known, importance=True)
        asked = await self._proposer.ask(question)
        found = sorted(asked.importances.items(), key=lambda each: -each[1])
        if len(self._importances) >= _MAX_CACHED:
            self._importances.pop(next(iter(self._importances)))
        self._importances[key] = [Importance(path, value) for path, value in found]
        return self._importances[key]

    def _computed(self, job_id: str, task: asyncio.Task[list[Importance]]) -> None:
        self._computing.pop(job_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("importances of sweep %s: %s", job_id, error)
