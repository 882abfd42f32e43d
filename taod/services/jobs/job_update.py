"""Changes of a job that has not started: its priority, its spec, its devices, its place in the queue, whether it is
held."""

from __future__ import annotations

from typing import Any

import msgspec

from store import Store
from store.records import JobRecord
from taod.errors import BadRequest
from taod.ids import is_id
from taod.scheduler.policy.wait_reasons import short
from taod.scheduler.scheduler import Scheduler
from taod.services.jobs.job_owner import Owners
from taod.services.jobs.submission import Posting
from taod.services.publisher import Announcer
from taod.types.job import JobPatch
from taod.types.job_requests import RULES, JobRequest, accepts
from taod.types.state import State

HELD_BY_USER = "held by the user"
_MOVES = ("before", "after", "position")


class Editing:
    """Checks a change as a whole, then writes all of it or nothing, with a line of history for each part."""

    def __init__(
        self, *, store: Store, scheduler: Scheduler, owners: Owners, posting: Posting, announcer: Announcer
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._owners = owners
        self._posting = posting
        self._announcer = announcer

    def patch(self, job: JobRecord, body: JobPatch) -> JobRecord:
        """Make the change and look at the queue again. Raises BadRequest, InvalidSpec."""
        if not accepts(JobRequest.EDIT, job.action, job.state):
            raise BadRequest(f"job {job.id} is {job.state}: {RULES[JobRequest.EDIT].condition}; post a new one instead")
        fields, notes = self._fields(job, body)
        with self._store.lasting():
            if fields:
                job = self._store.jobs.update(job.id, **fields)
            if body.held is True and job.state is not State.HELD:
                job = self._store.jobs.transition(job.id, State.HELD, HELD_BY_USER)
            elif body.held is True and job.retry_at is not None:
                # Held back for another try until now; whose time would release it.
                job = self._store.jobs.update(job.id, retry_at=None, reason=HELD_BY_USER)
                self._store.jobs.note(job.id, HELD_BY_USER)
            elif body.held is False and job.state is State.HELD:
                job = self._store.jobs.transition(job.id, State.WAITING, "released by the user")
            if moves := [name for name in _MOVES if getattr(body, name) is not msgspec.UNSET]:
                job, moved = self._moved(job, body, moves)
                notes.append(moved)
            for note in notes:
                self._store.jobs.note(job.id, f"changed by the user: {note}")
        self._announcer.job(job)
        self._scheduler.wake()
        return job

    def _fields(self, job: JobRecord, body: JobPatch) -> tuple[dict[str, Any], list[str]]:
        """The columns that change, and what the history says of them."""
        fields: dict[str, Any] = {}
        notes: list[str] = []
        if body.priority is not msgspec.UNSET and body.priority != job.priority:
            fields["priority"] = body.priority
            notes.append(f"priority {job.priority} → {body.priority}")
        owner = self._owners.find(job.user_id, job.owner_kind, job.owner_id)
        spec = job.spec
        sweep = self._store.sweeps.get(job.id) is not None
        if sweep and (body.spec is not msgspec.UNSET or body.devices_wanted is not msgspec.UNSET):
            name = "spec" if body.spec is not msgspec.UNSET else "devices_wanted"
            raise BadRequest(f"{name}: a sweep searches from what it was posted with; cancel it and post anew")
        if body.spec is not msgspec.UNSET:
            if spec is None:
                raise BadRequest(f"spec: action {job.action!r} of {job.network} takes no spec; leave it out")
            saved, wanted = self._posting.check_spec(owner, job, body.spec)
            spec = saved.document
            fields |= {"spec": spec, "warnings": saved.warnings, "devices_wanted": wanted}
            notes.append("spec")
        if body.devices_wanted is not msgspec.UNSET:
            fields["devices_wanted"] = self._posting.check_devices(owner, job.action, spec, body.devices_wanted)
        if fields.get("devices_wanted", job.devices_wanted) != job.devices_wanted:
            notes.append(f"devices {job.devices_wanted} → {fields['devices_wanted']}")
        return fields, notes

    def _moved(self, job: JobRecord, body: JobPatch, moves: list[str]) -> tuple[JobRecord, str]:
        """Give the job its new place inside its user's jobs of its priority."""
        if len(moves) > 1:
            raise BadRequest(f"{' and '.join(moves)}: send one of them, a job has one place")
        if job.state is not State.QUEUED:
            raise BadRequest(
                f"{moves[0]}: {short(job)} is {job.state} ({job.reason}); only a job that is queued has a place"
            )
        queue, how = self._store.queue, moves[0]
        if how == "position":
            front = body.position == "front"
            place = queue.move(job.id, before="") if front else queue.move(job.id, after="")
            told = f"moved to the {body.position}"
        else:
            other = self._other(job, how, str(getattr(body, how)))
            place = queue.move(job.id, **{how: other.id})
            told = f"moved {how} {short(other)}"
        return self._store.jobs.update(job.id, place=place), told

    def _other(self, job: JobRecord, how: str, other_id: str) -> JobRecord:
        """The job that the place is told by. Raises BadRequest unless it stands in the same line."""
        other = self._store.jobs.get(other_id.lower()) if is_id(other_id) else None
        if other is None or other.user_id != job.user_id:
            raise BadRequest(f"{how} = {other_id!r}: there is no such job; GET …/queue lists those that are queued")
        if other.id == job.id:
            raise BadRequest(f"{how} = {other_id!r} is the job itself; name another one")
        if other.state is not State.QUEUED:
            raise BadRequest(f"{how} = {other_id!r}: {short(other)} is {other.state}; name one that is queued")
        if other.site != job.site:
            raise BadRequest(f"{how} = {other_id!r}: {short(other)} waits elsewhere; name one with the same runner")
        if other.priority != job.priority:
            raise BadRequest(
                f"{how} = {other_id!r}: {short(other)} has priority {other.priority} and {short(job)} {job.priority}; "
                f"places are told inside a priority, send priority = {other.priority} with it"
            )
        return other
