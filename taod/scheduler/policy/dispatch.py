"""Who runs next and why the others wait: pure decisions over a snapshot. Knows no store, no process and no clock."""

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
"""So many queued jobs get a precise reason, for each kind of device and each user at a limit; those further back get
TURN. Only these can reserve slots."""


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that a decision depends on."""

    pending: Sequence[Job]
    """WAITING jobs whose state or reason may change, and QUEUED jobs: all, or, beside `lines`, those with another
    reason than TURN and those that want too many devices."""
    parents: Mapping[str, Job] = {}
    """The jobs that the waiting ones follow; a deleted one is missing."""
    unready: Mapping[str, Reason] = {}
    """For a waiting job what of its data is not there yet."""
    devices: Sequence[Device] = ()
    """With their leases."""
    lines: Sequence[Line] | None = None
    """The queue, to be read as far as it matters; None: `pending` has all of it."""
    holders: Mapping[str, Holder] = {}
    """By id, the jobs that are on devices."""
    served: Mapping[str, str] = {}
    """When a job of a user was started last, for those who have any."""
    rules: SchedulerConfig = msgspec.field(default_factory=SchedulerConfig)
    paused: Reason | None = None
    """The reason of all queued jobs while the whole queue is paused; None: it is not."""
    now_s: float = 0.0
    wall_time_s: Callable[[Job], float | None] = lambda job: None
    """After how many seconds a run of this job would be ended; None: never."""


class Promote(msgspec.Struct, frozen=True):
    """From WAITING into the queue."""

    job_id: str
    reason: Reason


class End(msgspec.Struct, frozen=True):
    """It can never run."""

    job_id: str
    state: State
    """FAILED or CANCELLED."""
    reason: Reason


class Lease(msgspec.Struct, frozen=True):
    """From the queue onto devices."""

    job_id: str
    slots: list[tuple[str, int]]
    reason: Reason


class Explain(msgspec.Struct, frozen=True):
    """It stays where it is, for a reason that has changed."""

    job_id: str
    reason: Reason


Decision = Promote | End | Lease | Explain


def decide(snapshot: Snapshot) -> list[Decision]:
    """What to do now, in the order in which to do it.

    The order of service is that of `Turns`. A job that needs more devices than are free keeps what it can use of those
    from all that come after it, so that small jobs never starve it; who is at a limit keeps nothing.
    """
    decisions, promoted = _admit(snapshot)
    # Those of a cluster have a queue of their own (`cluster_queue`).
    return decisions + _Service(snapshot, [job for job in promoted if not job.site]).decisions()


def most_wanted(devices: Sequence[Device]) -> dict[str, int]:
    """For each kind of owner, how many devices a job can have at most."""
    slots = {kind: Slots([device for device in devices if device.kind is kind]) for kind in DeviceKind}
    found = {owner_kind: slots[kind_of(owner_kind, devices)] for owner_kind in ("model", "dataset")}
    return {kind: max(len(each.fit_for(2)), min(len(each.devices), 1)) for kind, each in found.items()}


def kind_of(owner_kind: OwnerKind, devices: Sequence[Device]) -> DeviceKind:
    """Models use GPUs where there are any; the conversions of datasets leave them alone where there are CPU slots."""
    kinds = {device.kind for device in devices}
    first, second = DeviceKind.GPU, DeviceKind.CPU
    if owner_kind == "dataset":
        first, second = second, first
    return first if first in kinds else second


def ended_with_parent(parent: Job, state: State) -> tuple[State, Reason] | None:
    """How a job that waits for `parent` ends when the parent is in `state`; None: it keeps waiting, or runs."""
    named = {"job": parent.id, "action": parent.action}
    if state is State.CANCELLED:
        return State.CANCELLED, Reason(ReasonCode.PARENT_CANCELLED, named)
    if state is State.FAILED:
        return State.FAILED, Reason(ReasonCode.PARENT_FAILED, named)
    return None


def _admit(snapshot: Snapshot) -> tuple[list[Decision], list[Job]]:
    """Decide on the waiting ones; return with it those that enter the queue."""
    decisions: list[Decision] = []
    promoted: list[Job] = []
    ended: dict[str, State] = {}
    waiting = [job for job in snapshot.pending if job.state is State.WAITING]
    # An end runs down a chain whatever the order of the list: parents' fates are settled before their children's.
    for job in _parents_first(waiting):
        parent = snapshot.parents.get(job.parent_id) if job.parent_id else None
        if job.parent_id and parent is None:
            decisions.append(End(job.id, State.FAILED, Reason(ReasonCode.PARENT_DELETED)))
            ended[job.id] = State.FAILED
            continue
        end = ended_with_parent(parent, ended.get(parent.id, parent.state)) if parent else None
        if end is not None:
            decisions.append(End(job.id, *end))
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
    """One walk along the queue: leases for the next jobs, reasons for the others."""

    def __init__(self, snapshot: Snapshot, promoted: list[Job]) -> None:
        self._snapshot = snapshot
        self._rules = snapshot.rules
        queued = [job for job in snapshot.pending if job.state is State.QUEUED]
        lines = lines_of(queued) if snapshot.lines is None else snapshot.lines
        late = [_placed(job, round(snapshot.now_s * NANOSECONDS)) for job in promoted]
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
        """How many got a precise reason: of all, of a kind of device, of a user at a limit."""
        self._youngest: dict[int, int] = {}
        """By priority, the latest place of those that have had their turn."""

    def decisions(self) -> list[Decision]:
        found: list[Decision] = []
        for job in self._turns:
            self._known.pop(job.id, None)
            if job.kind is JobKind.SWEEP and self._snapshot.paused is None:
                # It runs nothing itself: no device and no limit concerns it.
                found.append(Lease(job.id, [], Reason(ReasonCode.LEASED_NOTHING)))
                continue
            slots = self._slots[self._kinds[job.owner_kind]]
            if job.devices_wanted > len(slots.fit_for(job.devices_wanted)):
                found.append(self._never(job))
                continue
            decision = self._blocked(job) or self._lease(job, slots)
            found += [decision] if isinstance(decision, Lease) else _explain(job, decision)
            if self._explained["all"] >= EXPLAINED:
                break
        for job in self._known.values():
            slots = self._slots[self._kinds[job.owner_kind]]
            if job.devices_wanted > len(slots.fit_for(job.devices_wanted)):
                found.append(self._never(job))
            else:
                found += _explain(job, TURN)
        return found

    def _blocked(self, job: Job) -> Reason | None:
        """Why the job cannot start whatever is free."""
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
                self._turns.leave_out(job.user_id)
            return Reason(ReasonCode.LIMIT_USER, {"running": mine})
        return None

    def _lease(self, job: Job, slots: Slots) -> Lease | Reason:
        """Devices for the job, or why it does not get them; then it keeps what it can use."""
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
        slots.keep(job, alone)
        kind = self._kinds[job.owner_kind]
        self._explained[kind] += 1
        if self._explained[kind] >= EXPLAINED:
            self._turns.leave_out(*(owner for owner, its in self._kinds.items() if its is kind))
        return reason

    def _never(self, job: Job) -> End:
        kind = self._kinds[job.owner_kind]
        whole = len(self._slots[kind].fit_for(job.devices_wanted))
        instances = len(self._slots[kind].devices) - whole
        return End(job.id, State.FAILED, too_many_devices(job, kind, whole, instances))


def _placed(job: Job, place: int) -> Job:
    """The job as it is in the queue, which it enters now."""
    return msgspec.structs.replace(job, place=max(place, job.place))


def _names(slots: Sequence[tuple[str, int]], devices: Sequence[Device]) -> list[str]:
    labels = {
        device.id: f"GPU {device.index}" if device.kind is DeviceKind.GPU and device.parent is None else device.name
        for device in devices
    }
    return [labels[device_id] for device_id in dict.fromkeys(device_id for device_id, _ in slots)]


def _explain(job: Job, reason: Reason) -> list[Decision]:
    return [] if job.reason == reason else [Explain(job.id, reason)]
