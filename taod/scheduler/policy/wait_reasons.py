"""Why a job waits, in one sentence. Pure; of another user's job it tells nothing but that it is there."""

from __future__ import annotations

from collections.abc import Iterable

from taod.scheduler.policy.fair_share import Job
from taod.scheduler.policy.reservations import Held, Slots
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


def called(device: Device) -> str:
    """How sentences name a device, told apart from others of its make."""
    whole_gpu = device.kind is DeviceKind.GPU and device.parent is None
    return f"GPU {device.index} ({device.name})" if whole_gpu else device.name


def of_pause(by: str, reason: str) -> str:
    """What all that is queued is told while the whole queue is paused."""
    return f"waits: the queue is paused by {by}" + (f": {reason}" if reason else "")


def of_all(running: int) -> str:
    return f"waits: {_jobs(running)}, the most that scheduler.max_running allows"


def of_user(running: int) -> str:
    return f"waits: {_jobs(running)} for its user, the most that scheduler.max_running_per_user allows"


def never(job: Job, kind: DeviceKind, count: int, instances: int) -> str:
    """What a job is told that asks for more devices than there are; `instances` of MIG are not among the `count`."""
    if instances:
        return (
            f"It can never run: it asks for {job.devices_wanted} devices and taod has {_gpus(count, 'whole ')}; a run "
            f"can use one MIG instance, not several; ask for {max(count, 1)} at most"
        )
    if not count:
        return "It can never run: there is no device; set devices.cpu_slots to 1 or more"
    have = _gpus(count) if kind is DeviceKind.GPU else f"{count} CPU slot" + ("s" if count > 1 else "")
    return f"It can never run: it asks for {job.devices_wanted} devices and taod has {have}; ask for {count} at most"


def of_devices(job: Job, slots: Slots, *, alone: bool, overtaken_with: int | None) -> str:
    """What is wanted, how much of it is taken and by whom.

    `overtaken_with`: how many jobs its user has running, where younger ones of other users came first.
    """
    wanted = "a device" if job.devices_wanted == 1 else f"{job.devices_wanted} devices"
    wanted += " of its own" if alone else ""
    devices = slots.fit_for(job.devices_wanted)
    usable = [device for device in devices if device.busy_reason is None]
    leased = [device for device in usable if slots.held[device.id] and (alone or _full(device, slots))]
    parts = []
    if leased:
        names = _unique(_holder(held, job) for device in leased for held in slots.held[device.id])
        parts.append(f"{len(leased)} of {len(devices)} leased by {_some(names)}")
    reserved = _unique(short(each) if each.user_id == job.user_id else OTHERS for each in slots.keepers())
    if reserved:
        parts.append(f"free ones are kept for {_some(reserved)}")
    parts += [f"{called(device)} is {device.busy_reason}" for device in devices if device.busy_reason]
    if overtaken_with is not None:
        parts.append("users take turns" + (f", and its user has {overtaken_with} running" if overtaken_with else ""))
    return f"waits for {wanted}: " + "; ".join(parts)


def _full(device: Device, slots: Slots) -> bool:
    return len(slots.held[device.id]) >= device.slots


def _holder(held: Held, job: Job) -> str:
    mine = held.user_id is None or held.user_id == job.user_id
    return f"job {held.job_id[:8]} ({held.action})" if mine else OTHERS


def _gpus(count: int, whole: str = "") -> str:
    return f"{count or 'no'} {whole}GPU{'s' if count > 1 else ''}"


def _jobs(count: int) -> str:
    return f"{count} job{' runs' if count == 1 else 's run'}"


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
