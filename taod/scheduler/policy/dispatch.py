"""Decides which jobs run next and why others wait, from a snapshot. Pure: knows no store, process or clock."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from taod.config import SchedulerConfig
from taod.scheduler.policy.fair_share import NANOSECONDS, Job, Line, Turns, extended, lines_of
from taod.scheduler.policy.reservations import Holder, Slots
from taod.scheduler.policy.wait_reasons import too_many_devices, waits_for_devices
from taod.types.common import OwnerKind
from taod.types.device import Device, DeviceKind
from taod.types.job import JobKind
from taod.types.reason import TURN, Reason, ReasonCode, waits_for_parent
from taod.types.state import State

EXPLAINED = 20
"""Number of queued jobs with a precise reason, per kind of device and per user at a limit; others get TURN. Only these
can reserve slots."""


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that a decision depends on."""

    pending: Sequence[Job]
    """WAITING jobs whose state or reason may change, and QUEUED jobs. With `lines`, of the QUEUED jobs only those with
    another reason than TURN and those that want too many devices."""
    parents: Mapping[str, Job] = {}
    """Id → parent of a waiting job; deleted parents are missing."""
    unready: Mapping[str, Reason] = {}
    """Id of a waiting job → why its data is not ready."""
    devices: Sequence[Device] = ()
    """Devices with their leases."""
    lines: Sequence[Line] | None = None
    """The queue, read lazily; None: `pending` has all of it."""
    holders: Mapping[str, Holder] = {}
    """Id → job on devices."""
    served: Mapping[str, str] = {}
    """User id → time of the last start of a job; users without a start are missing."""
    rules: SchedulerConfig = msgspec.field(default_factory=SchedulerConfig)
    paused: Reason | None = None
    """The reason of all queued jobs while the queue is paused; None: it is not paused."""
    now_s: float = 0.0
    wall_time_s: Callable[[Job], float | None] = lambda job: None
    """Seconds after which supervision ends a run of this job; None: never."""


class Promote(msgspec.Struct, frozen=True):
    """Move a job from WAITING to QUEUED."""

    job_id: str
    reason: Reason


class EndUnplaceable(msgspec.Struct, frozen=True):
    """End a job that can never run."""

    job_id: str
    state: State
    """FAILED or CANCELLED."""
    reason: Reason


class Lease(msgspec.Struct, frozen=True):
    """Lease slots to a queued job."""

    job_id: str
    slots: list[tuple[str, int]]
    reason: Reason


class Explain(msgspec.Struct, frozen=True):
    """Change the reason of a job that keeps its state."""

    job_id: str
    reason: Reason


Decision = Promote | EndUnplaceable | Lease | Explain


def decide(snapshot: Snapshot) -> list[Decision]:
    """The decisions, in the order in which to apply them.

    `Turns` gives the order of service. A job that needs more devices than are free reserves those that it can use, so
    that small jobs never starve it; a job whose user is at a limit reserves nothing.
    """
    decisions, promoted = _admit(snapshot)
    # Jobs of a cluster have their own queue (`cluster_queue`).
    return decisions + _Service(snapshot, [job for job in promoted if not job.site]).decisions()


def most_wanted(devices: Sequence[Device]) -> dict[str, int]:
    """Kind of owner → maximum number of devices of a job."""
    slots = {kind: Slots([device for device in devices if device.kind is kind]) for kind in DeviceKind}
    found = {owner_kind: slots[kind_of(owner_kind, devices)] for owner_kind in ("model", "dataset")}
    return {kind: max(len(each.fit_for(2)), min(len(each.devices), 1)) for kind, each in found.items()}


def kind_of(owner_kind: OwnerKind, devices: Sequence[Device]) -> DeviceKind:
    """The kind of device for jobs of an owner: for models GPUs if there are any, for datasets CPU slots if there are
    any."""
    kinds = {device.kind for device in devices}
    first, second = DeviceKind.GPU, DeviceKind.CPU
    if owner_kind == "dataset":
        first, second = second, first
    return first if first in kinds else second


def ended_with_parent(parent: Job, state: State) -> tuple[State, Reason] | None:
    """State and reason with which a job ends when its parent is in `state`; None: it does not end."""
    named = {"job": parent.id, "action": parent.action}
    if state is State.CANCELLED:
        return State.CANCELLED, Reason(ReasonCode.PARENT_CANCELLED, named)
    if state is State.FAILED:
        return State.FAILED, Reason(ReasonCode.PARENT_FAILED, named)
    return None


def _admit(snapshot: Snapshot) -> tuple[list[Decision], list[Job]]:
    """Decisions about waiting jobs, and the jobs that enter the queue."""
    decisions: list[Decision] = []
    promoted: list[Job] = []
    ended: dict[str, State] = {}
    waiting = [job for job in snapshot.pending if job.state is State.WAITING]
    # Parents are decided before their children, so that an end propagates down a chain in one pass.
    for job in _parents_first(waiting):
        parent = snapshot.parents.get(job.parent_id) if job.parent_id else None
        if job.parent_id and parent is None:
            decisions.append(EndUnplaceable(job.id, State.FAILED, Reason(ReasonCode.PARENT_DELETED)))
            ended[job.id] = State.FAILED
            continue
        end = ended_with_parent(parent, ended.get(parent.id, parent.state)) if parent else None
        if end is not None:
            decisions.append(EndUnplaceable(job.id, *end))
            ended[job.id] = end[0]
        elif parent is not None and parent.state is not State.DONE:
            decisions += _explain(job, waits_for_parent(parent.id, parent.action, parent.state))
        elif job.id in snapshot.unready:
            decisions += _explain(job, snapshot.unready[job.id])
        else:
            decisions.append(Promote(job.id, Reason(ReasonCode.QUEUED)))
            promoted.append(job)
    return decisions, promoted


def _parents_first(jobs: list[Job]) -> list[Job]:
    by_id = {job.id: job for job in jobs}
    ordered: dict[str, Job] = {}
    for job in jobs:
        chain: dict[str, Job] = {}
        step: Job | None = job
        while step is not None and step.id not in ordered and step.id not in chain:
            chain[step.id] = step
            step = by_id.get(step.parent_id or "")
        ordered.update(reversed(chain.items()))
    return list(ordered.values())


class _Service:
    """One pass over the queue: leases for the next jobs, reasons for the others."""

    def __init__(self, snapshot: Snapshot, promoted: list[Job]) -> None:
        self._snapshot = snapshot
        self._rules = snapshot.rules
        queued = [job for job in snapshot.pending if job.state is State.QUEUED]
        lines = lines_of(queued) if snapshot.lines is None else snapshot.lines
        late = [_queued(job, round(snapshot.now_s * NANOSECONDS)) for job in promoted]
        self._known = {job.id: job for job in [*queued, *promoted]}
        running = Counter(holder.user_id for holder in snapshot.holders.values())
        self._turns = Turns(extended(lines, late), running, snapshot.served, self._rules.ageing_s_per_point)
        self._running = running.total()
        self._of_user = running
        self._kinds = {kind: kind_of(kind, snapshot.devices) for kind in ("model", "dataset")}
        self._slots = {
            kind: Slots([device for device in snapshot.devices if device.kind is kind], snapshot.holders)
            for kind in DeviceKind
        }
        self._explained: Counter[str] = Counter()
        """Number of jobs with a precise reason: in all, per kind of device, per user at a limit."""
        self._youngest: dict[int, int] = {}
        """Priority → latest queue position of the jobs served so far."""

    def decisions(self) -> list[Decision]:
        found: list[Decision] = []
        for job in self._turns:
            self._known.pop(job.id, None)
            if job.kind is JobKind.SWEEP and self._snapshot.paused is None:
                # A sweep has no process: it needs no device, and no limit applies.
                found.append(Lease(job.id, [], Reason(ReasonCode.LEASED_NOTHING)))
                continue
            slots = self._slots[self._kinds[job.owner_kind]]
            if job.devices_wanted > len(slots.fit_for(job.devices_wanted)):
                found.append(self._unplaceable(job))
                continue
            decision = self._blocked(job) or self._lease(job, slots)
            found += [decision] if isinstance(decision, Lease) else _explain(job, decision)
            if self._explained["all"] >= EXPLAINED:
                break
        for job in self._known.values():
            slots = self._slots[self._kinds[job.owner_kind]]
            if job.devices_wanted > len(slots.fit_for(job.devices_wanted)):
                found.append(self._unplaceable(job))
            else:
                found += _explain(job, TURN)
        return found

    def _blocked(self, job: Job) -> Reason | None:
        """Why the job cannot start regardless of free devices: a pause or a limit."""
        rules, mine = self._rules, self._of_user[job.user_id]
        if self._snapshot.paused is not None:
            self._explained["all"] += 1
            return self._snapshot.paused
        if rules.max_running and self._running >= rules.max_running:
            self._explained["all"] += 1
            return Reason(ReasonCode.LIMIT_RUNNING, {"running": self._running})
        if rules.max_running_per_user and mine >= rules.max_running_per_user:
            self._explained[job.user_id] += 1
            if self._explained[job.user_id] >= EXPLAINED:
                self._turns.skip(job.user_id)
            return Reason(ReasonCode.LIMIT_USER, {"running": mine})
        return None

    def _lease(self, job: Job, slots: Slots) -> Lease | Reason:
        """A lease for the job; otherwise reserve the slots that it can use, and return why it waits."""
        snapshot = self._snapshot
        alone = job.action in self._rules.exclusive and any(device.slots > 1 for device in slots.devices)
        limit_s = snapshot.wall_time_s(job)
        taken = slots.take(job, alone, math.inf if limit_s is None else snapshot.now_s + limit_s)
        overtaken = self._youngest.get(job.priority, job.place) > job.place
        self._youngest[job.priority] = max(job.place, self._youngest.get(job.priority, job.place))
        with_jobs = self._of_user[job.user_id] if overtaken else None
        self._turns.count(job.user_id)
        if taken is not None:
            self._running += 1
            self._of_user[job.user_id] += 1
            return Lease(job.id, taken, Reason(ReasonCode.LEASED, {"devices": _names(taken, slots.devices)}))
        reason = waits_for_devices(job, slots, alone=alone, overtaken_with=with_jobs)
        slots.reserve(job, alone)
        kind = self._kinds[job.owner_kind]
        self._explained[kind] += 1
        if self._explained[kind] >= EXPLAINED:
            self._turns.skip(*(owner for owner, its in self._kinds.items() if its is kind))
        return reason

    def _unplaceable(self, job: Job) -> EndUnplaceable:
        kind = self._kinds[job.owner_kind]
        whole = len(self._slots[kind].fit_for(job.devices_wanted))
        instances = len(self._slots[kind].devices) - whole
        return EndUnplaceable(job.id, State.FAILED, too_many_devices(job, kind, whole, instances))


def _queued(job: Job, place: int) -> Job:
    """The job with its position in the queue, which it enters now."""
    return msgspec.structs.replace(job, place=max(place, job.place))


def _names(slots: Sequence[tuple[str, int]], devices: Sequence[Device]) -> list[str]:
    labels = {
        device.id: f"GPU {device.index}" if device.kind is DeviceKind.GPU and device.parent is None else device.name
        for device in devices
    }
    return [labels[device_id] for device_id in dict.fromkeys(device_id for device_id, _ in slots)]


def _explain(job: Job, reason: Reason) -> list[Decision]:
    return [] if job.reason == reason else [Explain(job.id, reason)]
