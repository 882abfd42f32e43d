"""Why a job waits, in one sentence. Pure; of another user's job it tells nothing but that it is there."""

from __future__ import annotations

from collections.abc import Iterable

from taod.scheduler.slots import Held, Slots
from taod.scheduler.turns import Job
from taod.types.device import Device, DeviceKind
from taod.types.state import State

FURTHER_BACK = "waits for its turn"
FOR_PARENT = "waits for its parent "
STANDS = {State.PAUSED: " (paused)", State.HELD: " (held)"}
"""What is said beside a parent that does not go on by itself."""
OTHERS = "another user's job"


def short(job: Job) -> str:
    """How sentences name a job: action and the beginning of its id."""
    return f"{job.action} {job.id[:8]}"


def of_pause(by: str, reason: str) -> str:
    """What all that is queued is told while the whole queue is paused."""
    return f"waits: the queue is paused by {by}" + (f": {reason}" if reason else "")


def of_all(running: int) -> str:
    return f"waits: {_jobs(running)}, the most that scheduler.max_running allows"


def of_user(running: int) -> str:
    return f"waits: {_jobs(running)} for its user, the most that scheduler.max_running_per_user allows"


def never(job: Job, kind: DeviceKind, count: int) -> str:
    """What a job is told that asks for more devices than there are."""
    if not count:
        return "It can never run: there is no device; set devices.cpu_slots to 1 or more"
    name = "GPU" if kind is DeviceKind.GPU else "CPU slot"
    have = f"{count} {name}" + ("s" if count > 1 else "")
    return f"It can never run: it asks for {job.devices_wanted} devices and taod has {have}; ask for {count} at most"


def of_devices(job: Job, slots: Slots, *, alone: bool, overtaken_with: int | None) -> str:
    """What is wanted, how much of it is taken and by whom.

    `overtaken_with`: how many jobs its user has running, where younger ones of other users came first.
    """
    wanted = "a device" if job.devices_wanted == 1 else f"{job.devices_wanted} devices"
    wanted += " of its own" if alone else ""
    usable = [device for device in slots.devices if device.busy_reason is None]
    leased = [device for device in usable if slots.held[device.id] and (alone or _full(device, slots))]
    parts = []
    if leased:
        names = _unique(_holder(held, job) for device in leased for held in slots.held[device.id])
        parts.append(f"{len(leased)} of {len(slots)} leased by {_some(names)}")
    reserved = _unique(short(each) if each.user_id == job.user_id else OTHERS for each in slots.keepers())
    if reserved:
        parts.append(f"free ones are kept for {_some(reserved)}")
    parts += [f"{device.name} is {device.busy_reason}" for device in slots.devices if device.busy_reason]
    if overtaken_with is not None:
        parts.append("users take turns" + (f", and its user has {overtaken_with} running" if overtaken_with else ""))
    return f"waits for {wanted}: " + "; ".join(parts)


def _full(device: Device, slots: Slots) -> bool:
    return len(slots.held[device.id]) >= device.slots


def _holder(held: Held, job: Job) -> str:
    mine = held.user_id is None or held.user_id == job.user_id
    return f"job {held.job_id[:8]} ({held.action})" if mine else OTHERS


def _jobs(count: int) -> str:
    return f"{count} job{' runs' if count == 1 else 's run'}"


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
