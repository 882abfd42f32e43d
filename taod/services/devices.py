"""Devices as clients see them: what there is, who holds it, and what it is doing."""

from __future__ import annotations

import asyncio

from store import Store
from taod.scheduler.devices import DevicePool
from taod.types.device import Device


class DevicesView:
    """The machine's devices with their leases and figures."""

    def __init__(self, store: Store, pool: DevicePool) -> None:
        self._store = store
        self._pool = pool
        self._reading = asyncio.Lock()

    def now(self) -> list[Device]:
        """The devices with the figures that were read last."""
        leases = self._store.leases.all()
        jobs = [job for lease in leases if (job := self._store.jobs.get(lease.job_id)) is not None]
        return self._pool.snapshot(leases, jobs)

    async def read(self) -> list[Device]:
        """The devices with figures read now."""
        async with self._reading:
            await asyncio.to_thread(self._pool.read)
        return self.now()
