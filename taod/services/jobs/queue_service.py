"""The queue as a whole: its pause, its counts and its order."""

from __future__ import annotations

import itertools
import sys

import msgspec

from store import Store
from store.records import JobFilter, UserRecord
from taod.config import SchedulerConfig
from taod.errors import BadRequest
from taod.scheduler.scheduler import Scheduler
from taod.services.resources import Page, PageRequest
from taod.telemetry.publisher import Publisher
from taod.types.job import JobView
from taod.types.queue import QueuePatch, QueueState
from taod.types.state import ON_DEVICE, State


class Queue:
    """Operations on the queue, which all users share."""

    def __init__(self, *, store: Store, scheduler: Scheduler, publisher: Publisher, config: SchedulerConfig) -> None:
        self._store = store
        self._scheduler = scheduler
        self._publisher = publisher
        self._config = config

    def state(self) -> QueueState:
        """Whether the queue is paused, its limits, and the counts over all users."""
        pause, counts = self._store.queue.paused(), self._store.jobs.counts()
        return QueueState(
            paused=pause is not None,
            by=pause.by if pause else "",
            reason=pause.reason if pause else "",
            since=pause.since if pause else None,
            running=sum(counts.get(state, 0) for state in ON_DEVICE),
            queued=counts.get(State.QUEUED, 0),
            waiting=counts.get(State.WAITING, 0),
            held=counts.get(State.HELD, 0),
            max_running=self._config.max_running,
            max_running_per_user=self._config.max_running_per_user,
            max_queued_per_user=self._config.max_queued_per_user,
            ageing_s_per_point=self._config.ageing_s_per_point,
        )

    def change(self, user: UserRecord, body: QueuePatch) -> QueueState:
        """Pause or resume the queue and publish its state; a pause survives restarts.

        Raises BadRequest for a reason without a pause.
        """
        pause = self._store.queue.paused()
        paused = pause is not None if body.paused is msgspec.UNSET else body.paused
        if not paused and body.reason is not msgspec.UNSET:
            raise BadRequest(f"reason = {body.reason!r}: only a paused queue has one; send paused = true with it")
        before = self.state()
        with self._store.durable():
            if not paused:
                self._store.queue.resume()
            elif body.paused is True or body.reason is not msgspec.UNSET:
                kept = pause.reason if pause is not None else ""
                self._store.queue.pause(user.name, kept if body.reason is msgspec.UNSET else body.reason)
        now = self.state()
        if now != before:
            self._publisher.queue(now)
            self._scheduler.wake()
        return now

    def in_order(self, user_id: str, page: PageRequest) -> Page[JobView]:
        """A user's queued jobs in the order of service; positions count the jobs of all users."""
        mine = ((at, job.id) for at, job in enumerate(self._scheduler.turns(), 1) if job.user_id == user_id)
        first = min(page.skip, sys.maxsize)
        stop = None if page.size is None else min(first + page.size, sys.maxsize)
        chosen = {job_id: at for at, job_id in itertools.islice(mine, first, stop)}
        found = self._store.jobs.named(chosen)
        views = [msgspec.structs.replace(found[job_id].view(), position=at) for job_id, at in chosen.items()]
        return Page(views, self._store.jobs.counts(JobFilter(user_id=user_id)).get(State.QUEUED, 0))
