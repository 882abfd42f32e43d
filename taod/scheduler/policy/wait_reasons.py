"""Builds the reasons of jobs that wait for devices. Pure. They reveal only the existence of other users' jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from taod.scheduler.policy.fair_share import Job
from taod.scheduler.policy.reservations import Slots
from taod.types.device import Device, DeviceKind
from taod.types.reason import Reason, ReasonCode
from taod.types.reason_text import job_label

NAMED = 3
"""Number of jobs that a reason names; the others are counted."""


def short(job: Job) -> str:
    """The label of a job in messages: action and the first digits of its id."""
    return job_label({"job": job.id, "action": job.action})


def device_label(device: Device) -> str:
    """The label of a device in messages, unique among devices of the same product."""
    whole_gpu = device.kind is DeviceKind.GPU and device.parent is None
    return f"GPU {device.index} ({device.name})" if whole_gpu else device.name


def too_many_devices(job: Job, kind: DeviceKind, count: int, instances: int) -> Reason:
    """The reason of a job that wants more than the `count` devices; `instances`: MIG instances, which do not count."""
    if not count and not instances:
        return Reason(ReasonCode.NO_DEVICES)
    arguments = {"wanted": job.devices_wanted, "available": count, "kind": str(kind), "instances": instances}
    return Reason(ReasonCode.TOO_MANY_DEVICES, arguments)


def waits_for_devices(job: Job, slots: Slots, *, alone: bool, overtaken_with: int | None) -> Reason:
    """The devices that a job wants, how many are leased, and by which jobs.

    `overtaken_with`: the number of its user's running jobs, if younger jobs of other users were served first.
    """
    devices = slots.fit_for(job.devices_wanted)
    usable = [device for device in devices if device.busy_reason is None]
    leased = [device for device in usable if slots.held[device.id] and (alone or _full(device, slots))]
    holders = (
        {"job": held.job_id, "action": held.action} if held.user_id in (None, job.user_id) else {}
        for device in leased
        for held in slots.held[device.id]
    )
    reserving = (
        {"job": each.id, "action": each.action} if each.user_id == job.user_id else {}
        for each in slots.reserving_jobs()
    )
    return Reason(
        ReasonCode.DEVICES,
        {
            "wanted": job.devices_wanted,
            "alone": alone,
            "devices": len(devices),
            "leased": len(leased),
            "holders": _some(holders),
            "kept_for": _some(reserving),
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
    """The first NAMED distinct jobs, and the number of others."""
    unique = list({job.get("job"): job for job in jobs}.values())
    return {"first": unique[:NAMED], "more": max(0, len(unique) - NAMED)}
