"""The slots of one kind of device during one scheduling pass: taken, kept, lent. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from taod.scheduler.policy.fair_share import Job
from taod.types.device import Device

Slot = tuple[str, int]


class Holder(msgspec.Struct, frozen=True):
    """A job on devices, as far as the others' turn depends on it."""

    user_id: str
    ends_by_s: float | None = None
    """When its wall-time limit has ended it, at the latest; in seconds since the epoch. None: unknown."""


class Held(msgspec.Struct, frozen=True):
    """Who has a slot."""

    job_id: str
    action: str
    user_id: str | None
    ends_by_s: float


class _Kept(msgspec.Struct, frozen=True):
    job: Job
    slot: int
    sure_by_s: float
    """When the job that it is kept for can start at the latest; minus infinity: unknown, so it is never lent."""


class Slots:
    """What is free on the devices of one kind.

    A job that needs more than is free keeps what it can use of that: one slot on each device, or, where it is to be
    alone, whole devices, and those that are nearest to being empty. What is kept is lent only to a job whose
    wall-time limit ends it before the keeper is sure to have all that it needs.
    """

    def __init__(self, devices: Sequence[Device], holders: Mapping[str, Holder] | None = None) -> None:
        holders = holders or {}
        self.devices = list(devices)
        self.held: dict[str, list[Held]] = {}
        self._free: dict[str, list[int]] = {}
        self._kept: dict[str, list[_Kept]] = {device.id: [] for device in devices}
        self._keeps = False
        for device in devices:
            taken = {lease.slot for lease in device.leases}
            usable = device.busy_reason is None
            self._free[device.id] = [n for n in range(device.slots) if n not in taken] if usable else []
            self.held[device.id] = [
                Held(lease.job_id, lease.action, holder.user_id, _time(holder.ends_by_s))
                if (holder := holders.get(lease.job_id))
                else Held(lease.job_id, lease.action, None, math.inf)
                for lease in device.leases
            ]

    def fit_for(self, wanted: int) -> list[Device]:
        """The devices that a job may have which wants so many: of MIG instances CUDA sees one, so they are for jobs
        that want one device."""
        return self.devices if wanted == 1 else [device for device in self.devices if device.parent is None]

    def free(self, device_id: str) -> bool:
        """Whether it has a slot that is neither leased nor kept."""
        return bool(self._free[device_id])

    def keepers(self) -> list[Job]:
        """For whom slots are kept, each once."""
        return list({kept.job.id: kept.job for each in self._kept.values() for kept in each}.values())

    def take(self, job: Job, alone: bool, ends_by_s: float) -> list[Slot] | None:
        """Slots on as many devices as the job wants, the emptiest first; None where there are not enough.

        `ends_by_s` is when its wall-time limit will have ended it: infinity without one.
        """
        wanted, lent = job.devices_wanted, False
        fit = self.fit_for(wanted)
        open_now = [device for device in fit if (self._empty(device) if alone else self._free[device.id])]
        if len(open_now) < wanted and not alone and ends_by_s < math.inf:
            lent = True
            open_now += [device for device in fit if device not in open_now and self._loan(device, ends_by_s)]
        if len(open_now) < wanted:
            return None
        if not lent:
            open_now.sort(key=lambda device: len(self.held[device.id]) + len(self._kept[device.id]))
        slots = [slot for device in open_now[:wanted] for slot in self._given(device, alone, ends_by_s)]
        for device_id, _ in slots:
            self.held[device_id].append(Held(job.id, job.action, job.user_id, ends_by_s))
        return slots

    def keep(self, job: Job, alone: bool) -> None:
        """Keep for the job what it can use of what is free."""
        chosen = (
            self._drained(job) if alone else [each for each in self.fit_for(job.devices_wanted) if self._free[each.id]]
        )
        sure_by_s = -math.inf if self._keeps else self._sure_by(job, alone, chosen)
        for device in chosen:
            slots = self._free[device.id]
            count = len(slots) if alone else 1
            self._kept[device.id] += [_Kept(job, slots.pop(0), sure_by_s) for _ in range(count)]
            self._keeps = True

    def _drained(self, job: Job) -> list[Device]:
        """The devices that the job will have alone: the empty ones, then those with the fewest runs on them."""
        fit = self.fit_for(job.devices_wanted)
        usable = [each for each in fit if each.busy_reason is None and not self._kept[each.id]]
        usable.sort(key=lambda device: len(self.held[device.id]))
        return usable[: job.devices_wanted]

    def _sure_by(self, job: Job, alone: bool, chosen: list[Device]) -> float:
        """When the last device of those that are free first will be, at the latest; minus infinity: not known."""
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
        return device.busy_reason is None and not self.held[device.id] and not self._kept[device.id]

    def _loan(self, device: Device, ends_by_s: float) -> bool:
        return any(ends_by_s <= kept.sure_by_s for kept in self._kept[device.id])

    def _given(self, device: Device, alone: bool, ends_by_s: float) -> list[Slot]:
        free = self._free[device.id]
        if alone:
            slots = [(device.id, slot) for slot in free]
            free.clear()
            return slots
        if free:
            return [(device.id, free.pop(0))]
        kept = next(kept for kept in self._kept[device.id] if ends_by_s <= kept.sure_by_s)
        self._kept[device.id].remove(kept)
        return [(device.id, kept.slot)]


def _time(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
