"""Devices for clients, with leases and measurements."""

from __future__ import annotations

import asyncio

import msgspec

from store import Store
from taod.scheduler.devices.inventory import DevicePool
from taod.types.device import Device, DeviceLease


class DevicesView:
    """The machine's devices with their leases and measurements."""

    def __init__(self, store: Store, pool: DevicePool) -> None:
        self._store = store
        self._pool = pool
        self._reading = asyncio.Lock()
        self._last: tuple[bytes, dict[str, bytes]] = (b"", {})
        """The last published list, and what each user sees of it."""

    async def seen_by(self, user_id: str) -> list[Device]:
        """The devices with measurements read now; other users' leases are redacted."""
        return self._redacted(await self.read(), user_id)

    def redacted(self, devices: bytes, user_id: str) -> bytes:
        """An event's list of devices (JSON) with other users' leases redacted; the same bytes if there are none."""
        if self._last[0] is not devices:
            self._last = devices, {}
        views = self._last[1]
        if user_id not in views:
            published = msgspec.json.decode(devices, type=list[Device])
            seen = self._redacted(published, user_id)
            views[user_id] = devices if seen == published else msgspec.json.encode(seen)
        return views[user_id]

    def now(self) -> list[Device]:
        """The devices with the last measurements."""
        return self._pool.with_leases(self._store)

    async def read(self) -> list[Device]:
        """The devices with measurements read now."""
        async with self._reading:
            await asyncio.to_thread(self._pool.read)
        return self.now()

    def _redacted(self, devices: list[Device], user_id: str) -> list[Device]:
        """Every user sees that a slot is leased; only the job's user sees the job."""
        return [
            msgspec.structs.replace(device, leases=[self._redacted_lease(lease, user_id) for lease in device.leases])
            for device in devices
        ]

    def _redacted_lease(self, lease: DeviceLease, user_id: str) -> DeviceLease:
        job = self._store.jobs.get(lease.job_id)
        if job is not None and job.user_id == user_id:
            return lease
        return DeviceLease(job_id="", action="", network="", slot=lease.slot, since=lease.since)
