"""The slots of one kind of device during one scheduling pass: free, leased, reserved, backfilled. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from taod.scheduler.policy.fair_share import Job
from taod.types.device import Device

Slot = tuple[str, int]


class Holder(msgspec.Struct, frozen=True):
    """The properties of a job on devices that decisions about other jobs depend on."""

    user_id: str
    ends_by_s: float | None = None
    """Latest end by its wall-time limit, in seconds since the epoch. None: no limit."""


class SlotHolder(msgspec.Struct, frozen=True):
    """The holder of a slot."""

    job_id: str
    action: str
    user_id: str | None
    ends_by_s: float


class _Reservation(msgspec.Struct, frozen=True):
    job: Job
    slot: int
    sure_by_s: float
    """Latest start of the reserving job, in seconds since the epoch; minus infinity: unknown, no backfilling."""


class Slots:
    """The free and reserved slots on the devices of one kind.

    A job that needs more than is free reserves what it can use: one slot per device, or, if it runs alone on its
    devices, whole devices, those with the fewest runs first. Only a job whose wall-time limit ends it before the latest
    start of the reserving job may backfill a reserved slot.
    """

    def __init__(self, devices: Sequence[Device], holders: Mapping[str, Holder] | None = None) -> None:
        holders = holders or {}
        self.devices = list(devices)
        self.held: dict[str, list[SlotHolder]] = {}
        self._free: dict[str, list[int]] = {}
        self._reserved: dict[str, list[_Reservation]] = {device.id: [] for device in devices}
        self._has_reservations = False
        for device in devices:
            taken = {lease.slot for lease in device.leases}
            usable = device.busy_reason is None
            self._free[device.id] = [n for n in range(device.slots) if n not in taken] if usable else []
            self.held[device.id] = [
                SlotHolder(lease.job_id, lease.action, holder.user_id, _time(holder.ends_by_s))
                if (holder := holders.get(lease.job_id))
                else SlotHolder(lease.job_id, lease.action, None, math.inf)
                for lease in device.leases
            ]

    def fit_for(self, wanted: int) -> list[Device]:
        """Devices eligible for a job with `wanted` devices; MIG instances only for one, since CUDA uses only one."""
        return self.devices if wanted == 1 else [device for device in self.devices if device.parent is None]

    def free(self, device_id: str) -> bool:
        """Whether the device has a slot that is neither leased nor reserved."""
        return bool(self._free[device_id])

    def reserving_jobs(self) -> list[Job]:
        """The distinct jobs with reservations."""
        return list({kept.job.id: kept.job for each in self._reserved.values() for kept in each}.values())

    def take(self, job: Job, alone: bool, ends_by_s: float) -> list[Slot] | None:
        """Take slots on as many devices as the job wants, emptiest first; None if there are not enough.

        `alone`: it takes whole devices. `ends_by_s`: its latest end by its wall-time limit; infinity without one.
        """
        wanted, backfills = job.devices_wanted, False
        fit = self.fit_for(wanted)
        open_now = [device for device in fit if (self._empty(device) if alone else self._free[device.id])]
        if len(open_now) < wanted and not alone and ends_by_s < math.inf:
            backfills = True
            open_now += [device for device in fit if device not in open_now and self._can_backfill(device, ends_by_s)]
        if len(open_now) < wanted:
            return None
        if not backfills:
            open_now.sort(key=lambda device: len(self.held[device.id]) + len(self._reserved[device.id]))
        slots = [slot for device in open_now[:wanted] for slot in self._given(device, alone, ends_by_s)]
        for device_id, _ in slots:
            self.held[device_id].append(SlotHolder(job.id, job.action, job.user_id, ends_by_s))
        return slots

    def reserve(self, job: Job, alone: bool) -> None:
        """Reserve the free slots that the job can use."""
        chosen = (
            self._least_used(job)
            if alone
            else [each for each in self.fit_for(job.devices_wanted) if self._free[each.id]]
        )
        sure_by_s = -math.inf if self._has_reservations else self._sure_by(job, alone, chosen)
        for device in chosen:
            slots = self._free[device.id]
            count = len(slots) if alone else 1
            self._reserved[device.id] += [_Reservation(job, slots.pop(0), sure_by_s) for _ in range(count)]
            self._has_reservations = True

    def _least_used(self, job: Job) -> list[Device]:
        """The devices to reserve for a job that runs alone: those with the fewest runs."""
        fit = self.fit_for(job.devices_wanted)
        usable = [each for each in fit if each.busy_reason is None and not self._reserved[each.id]]
        usable.sort(key=lambda device: len(self.held[device.id]))
        return usable[: job.devices_wanted]

    def _sure_by(self, job: Job, alone: bool, chosen: list[Device]) -> float:
        """Latest time at which enough devices for the job are free; minus infinity: unknown."""
        usable = [each for each in (chosen if alone else self.fit_for(job.devices_wanted)) if each.busy_reason is None]
        ends = []
        for device in usable:
            each = [held.ends_by_s for held in self.held[device.id]]
            if alone:
                ends.append(max(each, default=-math.inf))
            else:
                ends.append(-math.inf if self._free[device.id] else min(each, default=math.inf))
        if len(ends) < job.devices_wanted:
            return -math.inf
        latest = sorted(ends)[job.devices_wanted - 1]
        return latest if latest < math.inf else -math.inf

    def _empty(self, device: Device) -> bool:
        return device.busy_reason is None and not self.held[device.id] and not self._reserved[device.id]

    def _can_backfill(self, device: Device, ends_by_s: float) -> bool:
        return any(ends_by_s <= kept.sure_by_s for kept in self._reserved[device.id])

    def _given(self, device: Device, alone: bool, ends_by_s: float) -> list[Slot]:
        free = self._free[device.id]
        if alone:
            slots = [(device.id, slot) for slot in free]
            free.clear()
            return slots
        if free:
            return [(device.id, free.pop(0))]
        kept = next(kept for kept in self._reserved[device.id] if ends_by_s <= kept.sure_by_s)
        self._reserved[device.id].remove(kept)
        return [(device.id, kept.slot)]


def _time(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
