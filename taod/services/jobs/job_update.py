"""Updates of a job that has not started: priority, specification, devices, queue position, hold and release."""

from __future__ import annotations

from typing import Any

import msgspec

from store import Store
from store.records import JobRecord, SpecifiedJob
from taod.errors import BadRequest, NotFound
from taod.ids import is_id
from taod.scheduler.policy.wait_reasons import short
from taod.scheduler.resolved_job import ResolvedJob
from taod.scheduler.scheduler import Scheduler
from taod.services.jobs.job_owner import Owners
from taod.services.jobs.preflight_facts import Preflight
from taod.services.jobs.requirements import devices_wanted
from taod.services.jobs.resolution import Resolver
from taod.services.jobs.spec_service import Specs
from taod.services.snapshots import Snapshots
from taod.telemetry.publisher import Publisher
from taod.types.job import JobKind, JobPatch
from taod.types.job_requests import RULES, JobRequest, accepts
from taod.types.reason import Reason, ReasonCode
from taod.types.state import State
from taod.types.warning import Warning, WarningCode

HELD_BY_USER = Reason(ReasonCode.HELD)
_MOVES = ("before", "after", "position")
_SPEC_INDEPENDENT = frozenset(
    {
        WarningCode.CHECKPOINT_INCOMPLETE,
        WarningCode.LINK_CHANGED,
        WarningCode.LINK_UNREADABLE,
        WarningCode.RECORDED,
        WarningCode.STALLED,
        WarningCode.STATUS_LINES,
    }
)
"""Warnings that do not depend on a job's specification."""


class JobUpdate:
    """Validates an update as a whole, then writes it in one transaction, with one note of history per change."""

    def __init__(
        self,
        *,
        store: Store,
        scheduler: Scheduler,
        owners: Owners,
        specs: Specs,
        resolver: Resolver,
        preflight: Preflight,
        publisher: Publisher,
        snapshots: Snapshots,
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._owners = owners
        self._specs = specs
        self._resolver = resolver
        self._preflight = preflight
        self._publisher = publisher
        self._snapshots = snapshots

    async def patch(self, job: JobRecord, body: JobPatch) -> JobRecord:
        """Update the job and wake the scheduler. Raises BadRequest, InvalidSpec; NotFound once it is deleted."""
        while True:
            if not accepts(JobRequest.EDIT, job.action, job.state):
                condition = RULES[JobRequest.EDIT].condition
                raise BadRequest(f"job {job.id} is {job.state}: {condition}; post a new one instead")
            if body.spec is msgspec.UNSET and body.devices_wanted is msgspec.UNSET:
                fields, notes = self._fields(job, body)
                break
            fields, notes = await self._snapshots.run(job.user_id, self._fields, job, body)
            now = self._store.jobs.get(job.id)
            if now is None:
                raise NotFound(f"job {job.id} was deleted meanwhile")
            if now == job:
                break
            job = now  # It was changed meanwhile.
        with self._store.durable():
            if fields:
                job = self._store.jobs.update(job.id, **fields)
            if body.held is True and job.state is not State.HELD:
                job = self._store.jobs.transition(job.id, State.HELD, HELD_BY_USER)
            elif body.held is True and job.retry_at is not None:
                # It was held for a retry, whose time must not release it now.
                job = self._store.jobs.update(job.id, retry_at=None, reason=HELD_BY_USER)
                self._store.jobs.note(job.id, HELD_BY_USER)
            elif body.held is False and job.state is State.HELD:
                job = self._store.jobs.transition(job.id, State.WAITING, Reason(ReasonCode.RELEASED))
            if moves := [name for name in _MOVES if getattr(body, name) is not msgspec.UNSET]:
                job, moved = self._moved(job, body, moves)
                notes.append(moved)
            for note in notes:
                self._store.jobs.note(job.id, Reason(ReasonCode.CHANGED, note))
        self._publisher.job(job)
        self._scheduler.wake()
        return job

    def _fields(self, job: JobRecord, body: JobPatch) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The columns that change, and their notes for the history."""
        fields: dict[str, Any] = {}
        notes: list[dict[str, Any]] = []
        if body.priority is not msgspec.UNSET and body.priority != job.priority:
            fields["priority"] = body.priority
            notes.append({"field": "priority", "before": job.priority, "after": body.priority})
        sweep = job.kind is JobKind.SWEEP
        if sweep and (body.spec is not msgspec.UNSET or body.devices_wanted is not msgspec.UNSET):
            name = "spec" if body.spec is not msgspec.UNSET else "devices_wanted"
            raise BadRequest(f"{name}: a sweep keeps the specification of its post; cancel it and post another one")
        resolved = None
        if body.spec is not msgspec.UNSET:
            specified = self._specified(job)
            if specified.spec is None:
                raise BadRequest(f"spec: action {job.action!r} of {job.network} takes no spec; leave it out")
            resolved, warnings = self._with_spec(specified, body.spec)
            fields |= {
                "spec": resolved.job.spec,
                "warnings": warnings,
                "devices_wanted": resolved.job.devices_wanted,
            }
            notes.append({"field": "spec"})
        if body.devices_wanted is not msgspec.UNSET:
            spec = (resolved or self._resolver.resolve(self._specified(job))).spec
            fields["devices_wanted"] = self._checked_devices(job.action, spec, body.devices_wanted)
        if fields.get("devices_wanted", job.devices_wanted) != job.devices_wanted:
            notes.append({"field": "devices", "before": job.devices_wanted, "after": fields["devices_wanted"]})
        return fields, notes

    def _specified(self, job: JobRecord) -> SpecifiedJob:
        found = self._store.jobs.specified(job.id)
        if found is None:
            raise NotFound(f"job {job.id} was deleted meanwhile")
        return found

    def _with_spec(self, job: SpecifiedJob, document: dict[str, Any]) -> tuple[ResolvedJob, list[Warning]]:
        """The job with a new specification, validated as in a POST, and its new warnings."""
        owner = self._owners.find(job.user_id, job.owner_kind, job.owner_id)
        saved = self._specs.check_for_job(owner, job.action, document)
        chosen = self._resolver.choose_for(job, saved.document)
        wanted, _ = self._resolver.placement(job.action, chosen)
        changed = msgspec.structs.replace(job, spec=saved.document, devices_wanted=wanted)
        resolved = self._resolver.resolve(changed, chosen)
        kept = [warning for warning in job.warnings if warning.code in _SPEC_INDEPENDENT]
        return resolved, [*saved.warnings, *self._preflight.warnings(resolved), *kept]

    def _checked_devices(self, action: str, spec: dict[str, Any] | None, wanted: int) -> int:
        """`wanted`, unless it exceeds the number of devices in the specification. Raises BadRequest."""
        most = devices_wanted(action, spec, self._resolver.machine)
        if wanted > most:
            asks = "its spec asks for" if most > 1 else f"a run of {action} takes"
            raise BadRequest(
                f"devices_wanted = {wanted}: {asks} {most}; send {most} or less, or a spec that asks for more"
            )
        return wanted

    def _moved(self, job: JobRecord, body: JobPatch, moves: list[str]) -> tuple[JobRecord, dict[str, Any]]:
        """Move the job among its user's jobs of the same priority. Also returns the note for its history."""
        if len(moves) > 1:
            raise BadRequest(f"{' and '.join(moves)}: send only one of them")
        if job.state is not State.QUEUED:
            raise BadRequest(
                f"{moves[0]}: {short(job)} is {job.state} ({job.reason_text}); only a queued job has a position"
            )
        queue, how = self._store.queue, moves[0]
        if how == "position":
            front = body.position == "front"
            place = queue.move(job.id, before="") if front else queue.move(job.id, after="")
            note = {"field": "position", "place": str(body.position)}
        else:
            other = self._other(job, how, str(getattr(body, how)))
            place = queue.move(job.id, **{how: other.id})
            note = {"field": "position", "place": how, "job": other.id, "action": other.action}
        return self._store.jobs.update(job.id, place=place), note

    def _other(self, job: JobRecord, how: str, other_id: str) -> JobRecord:
        """The job that the new position is relative to. Raises BadRequest unless it is in the same line."""
        other = self._store.jobs.get(other_id.lower()) if is_id(other_id) else None
        if other is None or other.user_id != job.user_id:
            raise BadRequest(f"{how} = {other_id!r}: there is no such job; GET …/queue lists those that are queued")
        if other.id == job.id:
            raise BadRequest(f"{how} = {other_id!r} is the job itself; name another one")
        if other.state is not State.QUEUED:
            raise BadRequest(f"{how} = {other_id!r}: {short(other)} is {other.state}; name one that is queued")
        if other.site != job.site:
            raise BadRequest(f"{how} = {other_id!r}: {short(other)} has another runner; name one with the same")
        if other.priority != job.priority:
            raise BadRequest(
                f"{how} = {other_id!r}: {short(other)} has priority {other.priority} and {short(job)} {job.priority}; "
                f"positions are relative to jobs of one priority, send priority = {other.priority} with it"
            )
        return other
