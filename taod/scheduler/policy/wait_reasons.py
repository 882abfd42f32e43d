"""Why a job waits for devices, as reasons. Pure; about another user's job they hold only that it exists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from taod.scheduler.policy.fair_share import Job
from taod.scheduler.policy.reservations import Slots
from taod.types.device import Device, DeviceKind
from taod.types.reason import Reason, ReasonCode
from taod.types.reason_text import job_label

NAMED = 3
"""So many jobs are named; the others are counted."""


def short(job: Job) -> str:
    """How sentences name a job: action and the first digits of its id."""
    return job_label({"job": job.id, "action": job.action})


def device_label(device: Device) -> str:
    """How sentences name a device, distinct from others of the same product."""
    whole_gpu = device.kind is DeviceKind.GPU and device.parent is None
    return f"GPU {device.index} ({device.name})" if whole_gpu else device.name


def too_many_devices(job: Job, kind: DeviceKind, count: int, instances: int) -> Reason:
    """Why a job can never run that wants more devices than the `count` there are; `instances` of MIG are not among
    them."""
    if not count and not instances:
        return Reason(ReasonCode.NO_DEVICES)
    arguments = {"wanted": job.devices_wanted, "available": count, "kind": str(kind), "instances": instances}
    return Reason(ReasonCode.TOO_MANY_DEVICES, arguments)


def waits_for_devices(job: Job, slots: Slots, *, alone: bool, overtaken_with: int | None) -> Reason:
    """What a job wants, how much of it is leased and by whom.

    `overtaken_with`: how many jobs its user has running, where younger jobs of other users came first.
    """
    devices = slots.fit_for(job.devices_wanted)
    usable = [device for device in devices if device.busy_reason is None]
    leased = [device for device in usable if slots.held[device.id] and (alone or _full(device, slots))]
    holders = (
        {"job": held.job_id, "action": held.action} if held.user_id in (None, job.user_id) else {}
        for device in leased
        for held in slots.held[device.id]
    )
    keepers = (
        {"job": each.id, "action": each.action} if each.user_id == job.user_id else {} for each in slots.keepers()
    )
    return Reason(
        ReasonCode.DEVICES,
        {
            "wanted": job.devices_wanted,
            "alone": alone,
            "devices": len(devices),
            "leased": len(leased),
            "holders": _some(holders),
            "kept_for": _some(keepers),
            "unavailable": [
                {"device": device_label(device), "fault": device.busy_reason.document()}
                for device in devices
                if device.busy_reason
            ],
            "overtaken_with": overtaken_with,
        },
    )


def _full(device: Device, slots: Slots) -> bool:
    return len(slots.held[device.id]) >= device.slots


def _some(jobs: Iterable[dict[str, str]]) -> dict[str, Any]:
    """The first different ones, and how many more there are."""
    unique = list({job.get("job"): job for job in jobs}.values())
    return {"first": unique[:NAMED], "more": max(0, len(unique) - NAMED)}
