"""Publishes devices: when leases change, and measurements while a client listens or a GPU needs monitoring."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from store.records import LeaseRecord
from taod.backoff import Backoff
from taod.scheduler.context import SchedulerContext
from taod.scheduler.policy.wait_reasons import device_label
from taod.types.device import Device, DeviceKind
from taod.types.reason import Reason, ReasonCode

log = logging.getLogger(__name__)


class DeviceMonitor:
    """Measures the devices while a client listens, a GPU is leased (it may be lost) or a GPU takes no run (it may
    become available); otherwise the driver is not queried."""

    def __init__(
        self, context: SchedulerContext, changed: Callable[[], None], lost: Callable[[str, Reason], None]
    ) -> None:
        """`changed` is called when the availability of a device changes; `lost` with the id of a job whose device is
        lost, and the reason."""
        self._context = context
        self._changed = changed
        self._lost = lost
        self._published: list[LeaseRecord] = []
        self._busy: dict[str, Reason | None] = {}
        """Device id → why it takes no run, in the last scheduling pass or measurement."""
        self._gpu_in_use = asyncio.Event()
        """Set while a GPU is leased or takes no run."""
        self._task: asyncio.Task[None] | None = None

    def devices(self) -> list[Device]:
        """Each device with its leases and the last measurements."""
        return self._context.devices.with_leases(self._context.store)

    def for_schedule_pass(self) -> list[Device]:
        """The devices for a scheduling pass; a later measurement with another availability starts the next pass."""
        devices = self.devices()
        self._busy = _busy(devices)
        return devices

    def publish_leases(self) -> None:
        """Publish the devices if leases have changed since the last call."""
        leases = self._context.store.leases.all()
        if leases != self._published:
            self._published = leases
            devices = self.devices()
            self._publish(devices)
            self.update_polling(devices)

    def start(self) -> None:
        self._published = self._context.store.leases.all()
        self.update_polling()
        self._task = asyncio.create_task(self._read_while_wanted(), name="device measurements")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def update_polling(self, devices: list[Device] | None = None) -> None:
        """Decide whether to measure the devices without a listening client."""
        devices = self.devices() if devices is None else devices
        gpus = [device for device in devices if device.kind is DeviceKind.GPU]
        if any(device.leases or device.busy_reason for device in gpus):
            self._gpu_in_use.set()
        else:
            self._gpu_in_use.clear()

    async def _read_while_wanted(self) -> None:
        errors = Backoff()
        while True:
            await self._wanted()
            try:
                await asyncio.to_thread(self._context.devices.read)
                self.apply_reading()
                errors.reset()
            except Exception as error:
                errors.report(log, error, "the devices could not be read")
            await asyncio.sleep(self._context.devices.telemetry_s)

    async def _wanted(self) -> None:
        """Wait until a client listens or a GPU is leased or unavailable."""
        events = self._context.bus.listened, self._gpu_in_use
        if not any(event.is_set() for event in events):
            waits = [asyncio.create_task(event.wait()) for event in events]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    def apply_reading(self) -> None:
        """Publish the last measurements, abort runs of lost devices, and report changed availability."""
        devices = self.devices()
        if self._context.bus.listeners:
            self._publish(devices)
        lost = self._context.devices.lost()
        for device in devices:
            for lease in device.leases if device.id in lost else []:
                named = {"name": device_label(device), "id": device.id}
                self._lost(lease.job_id, Reason(ReasonCode.DEVICE_LOST, {"devices": [named]}))
        busy = _busy(devices)
        if busy != self._busy:
            self._busy = busy
            self._changed()
        self.update_polling(devices)

    def _publish(self, devices: list[Device]) -> None:
        self._context.publisher.devices(devices)


def _busy(devices: list[Device]) -> dict[str, Reason | None]:
    """Device id → why it takes no run; None if it does."""
    return {device.id: device.busy_reason for device in devices}
