"""Who runs next and why the others wait: pure decisions over a snapshot. Knows no store, no process and no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from store.records import JobRecord, PendingJob
from taod.types.device import Device, DeviceKind
from taod.types.state import State

EXPLAINED = 20
"""So many of the queue are told precisely what they wait for; those further back only that others come first."""
FURTHER_BACK = "waits for its turn"
FOR_PARENT = "waits for its parent "
PAUSED = " (paused)"

Job = JobRecord | PendingJob
"""A policy looks at no more than PendingJob has."""


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that a decision depends on.

    `pending` are the jobs in WAITING and QUEUED, but for those behind the head of the queue (`looked_at`) and behind
    parents that have not ended whose reason stays as it is; `parents` the jobs that they follow (a deleted one is
    missing); `unready` says for a waiting job what of its data is not there yet; `devices` come with their leases.
    """

    pending: Sequence[Job]
    parents: Mapping[str, Job] = {}
    unready: Mapping[str, str] = {}
    devices: list[Device] = []


class Promote(msgspec.Struct, frozen=True):
    """From WAITING into the queue."""

    job_id: str
    reason: str


class End(msgspec.Struct, frozen=True):
    """It can never run."""

    job_id: str
    state: State
    """FAILED or CANCELLED."""
    reason: str


class Lease(msgspec.Struct, frozen=True):
    """From the queue onto devices."""

    job_id: str
    slots: list[tuple[str, int]]
    reason: str


class Explain(msgspec.Struct, frozen=True):
    """It stays where it is, for a reason that has changed."""

    job_id: str
    reason: str


Decision = Promote | End | Lease | Explain


def decide(snapshot: Snapshot) -> list[Decision]:
    """What to do now, in the order in which to do it.

    The queue is first in, first out inside a priority. A job that needs more devices than are free keeps those that
    are free from all that come after it, so that small jobs never starve it.
    """
    decisions, queue = _admit(snapshot)
    # Those of a cluster have a queue of their own (`elsewhere`).
    return decisions + _serve([job for job in queue if not job.site], snapshot.devices)


def looked_at(devices: Sequence[Device]) -> int:
    """How many of the queue's head, for each kind of device, decide who runs next and what the first are told."""
    return sum(device.slots for device in devices) + EXPLAINED + 1


def most_wanted(devices: Sequence[Device]) -> int:
    """How many devices a job can have at most."""
    kinds = [device.kind for device in devices]
    return kinds.count(DeviceKind.GPU) or len(kinds)


def short(job: Job) -> str:
    """How sentences name a job: action and the beginning of its id."""
    return f"{job.action} {job.id[:8]}"


def ended_with_parent(parent: Job, state: State) -> tuple[State, str] | None:
    """How a job that waits for `parent` ends when the parent is in `state`; None: it goes on waiting, or runs."""
    if state is State.CANCELLED:
        return State.CANCELLED, f"Cancelled because its parent {short(parent)} was cancelled"
    if state is State.FAILED:
        return State.FAILED, f"Failed because its parent {short(parent)} failed"
    return None


def _admit(snapshot: Snapshot) -> tuple[list[Decision], list[Job]]:
    """Decide on the waiting ones; return with it the queue as it is then, in the order of service."""
    decisions: list[Decision] = []
    queued = [job for job in snapshot.pending if job.state is State.QUEUED]
    promoted: list[Job] = []
    ended: dict[str, State] = {}
    waiting = [job for job in snapshot.pending if job.state is State.WAITING]
    # An end runs down a chain whatever the order of the list: parents' fates are settled before their children's.
    for job in _parents_first(waiting):
        parent = snapshot.parents.get(job.parent_id) if job.parent_id else None
        if job.parent_id and parent is None:
            decisions.append(End(job.id, State.FAILED, "Failed because the job that it follows was deleted"))
            ended[job.id] = State.FAILED
            continue
        end = ended_with_parent(parent, ended.get(parent.id, parent.state)) if parent else None
        if end is not None:
            decisions.append(End(job.id, *end))
            ended[job.id] = end[0]
        elif parent is not None and parent.state is not State.DONE:
            paused = PAUSED if parent.state is State.PAUSED else ""
            decisions += _explain(job, f"{FOR_PARENT}{short(parent)}{paused}")
        elif job.id in snapshot.unready:
            decisions += _explain(job, snapshot.unready[job.id])
        else:
            decisions.append(Promote(job.id, "Queued"))
            promoted.append(job)
    queued.sort(key=lambda job: (-job.priority, job.queued_at or "", job.created_on, job.id))
    promoted.sort(key=lambda job: (-job.priority, job.created_on, job.id))
    # Those that enter the queue now come after the ones of their priority that are in it.
    return decisions, sorted(queued + promoted, key=lambda job: -job.priority)


def _parents_first(jobs: list[Job]) -> list[Job]:
    by_id = {job.id: job for job in jobs}
    ordered: dict[str, Job] = {}
    for job in jobs:
        chain = []
        step: Job | None = job
        while step is not None and step.id not in ordered and step not in chain:
            chain.append(step)
            step = by_id.get(step.parent_id or "")
        ordered.update((each.id, each) for each in reversed(chain))
    return list(ordered.values())


def _serve(queue: list[Job], devices: list[Device]) -> list[Decision]:
    """Hand out free slots to the queue in its order."""
    decisions: list[Decision] = []
    free = {device.id: _free_slots(device) for device in devices}
    kept: dict[str, Job] = {}
    """Devices that are kept free for a job that needs more than there are now."""
    holders = {device.id: [f"job {lease.job_id[:8]} ({lease.action})" for lease in device.leases] for device in devices}
    behind = 0
    for job in queue:
        kind = _kind(job, devices)
        fitting = [device for device in devices if device.kind is kind]
        if job.devices_wanted > len(fitting):
            decisions.append(End(job.id, State.FAILED, _never(job, kind, len(fitting))))
            continue
        open_now = sorted(
            (device for device in fitting if free[device.id] and device.id not in kept),
            key=lambda device: len(holders[device.id]),
        )
        if len(open_now) >= job.devices_wanted:
            slots = [(device.id, free[device.id].pop(0)) for device in open_now[: job.devices_wanted]]
            for device_id, _ in slots:
                holders[device_id].append(f"job {job.id[:8]} ({job.action})")
            decisions.append(Lease(job.id, slots, f"Leased {_names(slots, devices)}"))
            continue
        reason = _waits(job, fitting, free, kept, holders) if behind < EXPLAINED else FURTHER_BACK
        decisions += _explain(job, reason)
        behind += 1
        kept.update((device.id, job) for device in open_now)
    return decisions


def _free_slots(device: Device) -> list[int]:
    if device.busy_reason is not None:
        return []
    taken = {lease.slot for lease in device.leases}
    return [slot for slot in range(device.slots) if slot not in taken]


def _kind(job: Job, devices: list[Device]) -> DeviceKind:
    """Models use GPUs where there are any; the conversions of data sets leave them alone where there are CPU slots."""
    kinds = {device.kind for device in devices}
    first, second = DeviceKind.GPU, DeviceKind.CPU
    if job.owner_kind == "dataset" and job.devices_wanted == 1:
        first, second = second, first
    return first if first in kinds else second


def _never(job: Job, kind: DeviceKind, count: int) -> str:
    if not count:
        return "It can never run: there is no device; set devices.cpu_slots to 1 or more"
    name = "GPU" if kind is DeviceKind.GPU else "CPU slot"
    have = f"{count} {name}" + ("s" if count > 1 else "")
    return f"It can never run: it asks for {job.devices_wanted} devices and taod has {have}; ask for {count} at most"


def _waits(
    job: Job,
    fitting: list[Device],
    free: Mapping[str, list[int]],
    kept: Mapping[str, Job],
    holders: Mapping[str, list[str]],
) -> str:
    """One sentence: what is wanted, how much of it is taken and by whom."""
    wanted = "a device" if job.devices_wanted == 1 else f"{job.devices_wanted} devices"
    parts = []
    leased = [device for device in fitting if device.busy_reason is None and not free[device.id]]
    if leased:
        names = list(dict.fromkeys(name for device in leased for name in holders[device.id]))
        parts.append(f"{len(leased)} of {len(fitting)} leased by {_some(names)}")
    reserved = list(
        dict.fromkeys(short(kept[device.id]) for device in fitting if device.id in kept and free[device.id])
    )
    if reserved:
        parts.append(f"free ones are kept for {_some(reserved)}")
    parts += [f"{device.name} is {device.busy_reason}" for device in fitting if device.busy_reason]
    return f"waits for {wanted}: " + "; ".join(parts)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _names(slots: Iterable[tuple[str, int]], devices: list[Device]) -> str:
    labels = {device.id: device.name if device.kind is DeviceKind.CPU else f"GPU {device.index}" for device in devices}
    return ", ".join(labels[device_id] for device_id, _ in slots)


def _explain(job: Job, reason: str) -> list[Decision]:
    return [] if job.reason == reason else [Explain(job.id, reason)]
