"""Existing jobs: read, cancel, pause, resume, change, delete."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from store import Store
from store.records import JobFilter, JobRecord
from taod.errors import BadRequest, NotFound
from taod.ids import is_id
from taod.paths import JobFolder, Root
from taod.scheduler.scheduler import Scheduler
from taod.services.jobs import leaderboard
from taod.services.jobs.job_owner import Owners
from taod.services.jobs.job_update import JobUpdate
from taod.services.models.model_service import redacted
from taod.services.resources import Page, PageRequest, remove_folder
from taod.telemetry.bus import EventBus
from taod.telemetry.publisher import Publisher
from taod.types.common import JobSort, OwnerKind
from taod.types.event import EventType
from taod.types.job import Job, JobDetail, JobPatch, JobView, ProcessInfo
from taod.types.job_requests import RULES, JobRequest, accepts
from taod.types.leaderboard import Leaderboard
from taod.types.state import ACTIVE, State
from taod.types.warning import Warning

POSITIONS = 100
"""Number of jobs at the front of the queue whose position is computed."""


class Jobs:
    """Operations on existing jobs; a user sees their own."""

    def __init__(
        self,
        *,
        store: Store,
        root: Root,
        scheduler: Scheduler,
        bus: EventBus,
        owners: Owners,
        update: JobUpdate,
        publisher: Publisher,
    ) -> None:
        self._store = store
        self._root = root
        self._scheduler = scheduler
        self._bus = bus
        self._owners = owners
        self._update = update
        self._publisher = publisher

    def record(self, user_id: str, job_id: str) -> JobRecord:
        """The stored job. Raises NotFound."""
        found = self._store.jobs.get(job_id.lower()) if is_id(job_id) else None
        if found is None or found.user_id != user_id:
            raise NotFound(f"job {job_id} not found; list jobs with GET …/job")
        return found

    def owned(self, user_id: str, kind: OwnerKind, owner_id: str, job_id: str) -> JobRecord:
        """The stored job of one of the user's models or datasets. Raises NotFound."""
        owner = self._owners.find(user_id, kind, owner_id)
        if owner.user_id != user_id:
            raise NotFound(f"jobs of {kind} {owner.name!r} are its owner's: only their results can be read")
        found = self._store.jobs.owned(kind, owner.id, job_id.lower()) if is_id(job_id) else None
        if found is None or found.user_id != user_id:
            raise NotFound(f"{kind} {owner_id} has no job {job_id}; GET …/{kind}/{owner_id}/job lists its jobs")
        return found

    def public(self, job: JobRecord) -> Job:
        """The job in the form of the published API, with its full result."""
        return job.public(self._store.jobs.result(job.id))

    def read(self, user_id: str, kind: OwnerKind, owner_id: str, job_id: str) -> Job:
        """A job of a model or dataset that the user may see; redacted unless it is theirs. Raises NotFound."""
        owner = self._owners.find(user_id, kind, owner_id)
        if owner.user_id is None or owner.user_id == user_id:
            return self.public(self.owned(user_id, kind, owner_id, job_id))
        return redacted(self.public(self.owned(owner.user_id, kind, owner_id, job_id)))

    def of_owner(self, user_id: str, kind: OwnerKind, owner_id: str, sort: JobSort, page: PageRequest) -> Page[Job]:
        """The jobs of one model or dataset; redacted unless it is the user's."""
        owner = self._owners.find(user_id, kind, owner_id)
        jobs, total = self._store.jobs.public_page(kind, owner.id, sort, page.skip, page.size)
        return Page(jobs if owner.user_id == user_id else [redacted(job) for job in jobs], total)

    def page(self, wanted: JobFilter, sort: JobSort, page: PageRequest) -> Page[JobView]:
        """Jobs of all models and datasets with their short results."""
        records, total = self._store.jobs.list(wanted, sort, page.skip, page.size)
        views = [record.view() for record in records]
        if any(view.state is State.QUEUED for view in views):
            positions = self._positions()
            for view in views:
                view.position = positions.get(view.id)
        return Page(views, total)

    def _positions(self) -> dict[str, int]:
        """Id → queue position of the first POSITIONS jobs."""
        return {job.id: at for at, job in enumerate(itertools.islice(self._scheduler.turns(), POSITIONS), 1)}

    def counts(self, wanted: JobFilter) -> dict[str, int]:
        """The number of matching jobs by state, with zeros."""
        counts = self._store.jobs.counts(wanted)
        return {state.value: counts.get(state, 0) for state in State}

    def leaderboard(self, wanted: JobFilter, metric: str | None, page: PageRequest) -> Leaderboard:
        """The matching jobs ranked by a metric, as `leaderboard.rank`."""
        return leaderboard.rank(self._store, wanted, metric, page)

    def detail(self, job: JobRecord) -> JobDetail:
        """Everything about one job."""
        view, specified = job.view(self._store.jobs.result(job.id)), self._store.jobs.specified(job.id)
        if job.state is State.QUEUED:
            view.position = self._positions().get(job.id)
        return JobDetail(
            job=view,
            history=[entry.view() for entry in self._store.jobs.history(job.id)],
            spec=specified.spec if specified is not None else None,
            process=self._process(job),
            warnings=job.warnings,
            folder=str(self.folder(job).path),
            children=[child.id for child in self._store.jobs.children(job.id)],
            data=job.data,
            resources=self._store.runs.used(job.id),
        )

    def warnings(self, job_ids: Sequence[str]) -> list[Warning]:
        """The distinct warnings of these jobs."""
        jobs = self._store.jobs.named(job_ids)
        found = [warning for job_id in job_ids if job_id in jobs for warning in jobs[job_id].warnings]
        return [warning for at, warning in enumerate(found) if warning not in found[:at]]

    def folder(self, job: JobRecord) -> JobFolder:
        return self._root.job(job.id)

    async def mask_log(self, job: JobRecord) -> None:
        """Overwrite the secrets in the log of an active run, before the log is read."""
        await self._scheduler.mask_log(job.id)

    async def cancel(self, job: JobRecord) -> JobRecord:
        """Cancel a job. Raises NotFound if it has ended already."""
        await self._scheduler.cancel(job.id)
        return self._reread(job)

    async def pause(self, job: JobRecord) -> JobRecord:
        """Stop a training that can be resumed from its last checkpoint. Raises BadRequest for other jobs."""
        if not self._pausable(job):
            raise BadRequest(
                f"job {job.id} cannot be paused: it is a {job.action}, {job.state}; {RULES[JobRequest.PAUSE].condition}"
            )
        await self._scheduler.pause(job.id)
        return self._reread(job)

    async def cancel_or_pause(self, job: JobRecord) -> JobRecord:
        """Pause a running training, cancel any other job. Raises NotFound if it has ended already."""
        return await (self.pause(job) if self._pausable(job) else self.cancel(job))

    def _pausable(self, job: JobRecord) -> bool:
        return accepts(JobRequest.PAUSE, job.action, job.state)

    def resume(self, job: JobRecord) -> JobRecord:
        """Resume a job from its last checkpoint, under the same id. Raises BadRequest if its state forbids it."""
        return self._scheduler.resume(job.id)

    async def patch(self, job: JobRecord, body: JobPatch) -> JobRecord:
        """Change a job that has not started. Raises BadRequest, InvalidSpec, NotFound."""
        return await self._update.patch(job, body)

    async def delete(self, job: JobRecord) -> None:
        """Delete the record and the files. Raises BadRequest if the job, a child or a trial has not ended."""
        if not accepts(JobRequest.DELETE, job.action, job.state):
            raise BadRequest(f"job {job.id} is {job.state.public} ({job.state}): {RULES[JobRequest.DELETE].condition}")
        waiting = [child for child in self._store.jobs.children(job.id) if not child.state.ended]
        if waiting:
            raise BadRequest(
                f"job {job.id} is the parent of {waiting[0].action} {waiting[0].id}, which has not ended; "
                "cancel that one first"
            )
        trials = self._store.jobs.trials_of(job.id)
        if active := [trial for trial in trials if trial.state in ACTIVE]:
            raise BadRequest(f"job {job.id} is the sweep of {active[0].id}, which has not ended; cancel that one first")
        with self._store.durable():
            self._store.jobs.delete(job.id)
        for each in (*trials, job):
            self._publisher.job_deleted(each.user_id, each.id)
            await asyncio.to_thread(remove_folder, self.folder(each).path)

    @asynccontextmanager
    async def ending(self, job: JobRecord) -> AsyncIterator[asyncio.Event]:
        """An event that is set once the job has ended, is paused or is deleted."""
        ended = asyncio.Event()
        async with self._bus.subscribe(job.user_id, None) as stream:

            async def watch() -> None:
                async for event in stream:
                    if event.type in (EventType.JOB, EventType.JOB_DELETED, EventType.RESET) and self._has_ended(
                        job.id
                    ):
                        ended.set()
                        return

            if self._has_ended(job.id):
                ended.set()
            watcher = asyncio.create_task(watch())
            try:
                yield ended
            finally:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)

    def _has_ended(self, job_id: str) -> bool:
        job = self._store.jobs.get(job_id)
        return job is None or job.state.ended or job.state is State.PAUSED

    def _reread(self, job: JobRecord) -> JobRecord:
        return self._store.jobs.get(job.id) or job

    def _process(self, job: JobRecord) -> ProcessInfo | None:
        run = self._store.runs.latest(job.id)
        if run is None:
            return None
        info = ProcessInfo(
            command=run.command,
            environment=run.environment,
            started_at=run.started_at,
            exit_code=run.exit_code,
        )
        identity = msgspec.json.decode(run.identity) if run.identity else {}
        info.pid = identity.get("pid")
        if info.pid is not None and job.state in (State.RUNNING, State.STOPPING):
            usage = self._scheduler.usage(job.id)
            if usage is not None:
                info.cpu_percent, info.rss_bytes = usage.cpu_percent, usage.rss_bytes
                info.gpu_memory_bytes = usage.gpu_memory_bytes
        return info
