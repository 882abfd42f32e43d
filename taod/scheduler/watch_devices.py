"""Tells listeners of devices: at once when leases change, and their figures while somebody listens."""

from __future__ import annotations

import asyncio
import logging

from store.records import LeaseRecord
from taod.scheduler.ground import Ground
from taod.types.device import Device
from taod.types.event import EventType

log = logging.getLogger(__name__)


class DeviceWatch:
    """The devices with their leases, and the task that reads them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._told: list[LeaseRecord] = []
        self._listened = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def devices(self) -> list[Device]:
        """Each device with its leases and the figures of the last reading."""
        store = self._ground.store
        leases = store.leases.all()
        jobs = [store.jobs.get(job_id) for job_id in {lease.job_id for lease in leases}]
        return self._ground.devices.snapshot(leases, [job for job in jobs if job is not None])

    def leases_changed(self) -> None:
        """Publish the devices if their leases are other ones than those told last."""
        leases = self._ground.store.leases.all()
        if leases != self._told:
            self._told = leases
            self._publish()

    def start(self) -> None:
        self._told = self._ground.store.leases.all()
        self._ground.bus.on_listeners(self._count)
        self._count(self._ground.bus.listeners)
        self._task = asyncio.create_task(self._read_while_listened(), name="figures of devices")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _count(self, listeners: int) -> None:
        if listeners:
            self._listened.set()
        else:
            self._listened.clear()

    async def _read_while_listened(self) -> None:
        while True:
            await self._listened.wait()
            try:
                await asyncio.to_thread(self._ground.devices.read)
                self._publish()
            except Exception:
                log.exception("the devices could not be read")
            await asyncio.sleep(self._ground.devices.telemetry_s)

    def _publish(self) -> None:
        self._ground.bus.publish(EventType.DEVICES, self.devices(), user_id=None)
