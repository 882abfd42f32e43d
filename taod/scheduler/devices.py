"""The devices that runs may hold: GPUs as NVML tells of them, or CPU slots; knows nothing of the queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import psutil

from runners.protocol import DeviceGrant
from store.records import JobRecord, LeaseRecord
from taod.config import DevicesConfig
from taod.scheduler.nvml import Figures, Nvml
from taod.types.device import Device, DeviceKind, DeviceLease

LOST = "lost: its driver no longer answers for it"


class DevicePool:
    """The devices found at start, and the figures of the last reading."""

    def __init__(self, devices: list[Device], nvml: Nvml | None = None, *, telemetry_s: float = 2.0) -> None:
        self.telemetry_s = telemetry_s
        """Seconds between readings while somebody looks."""
        self._devices = devices
        self._nvml = nvml
        self._figures: Mapping[str, Figures] = {}

    @classmethod
    def detect(cls, config: DevicesConfig) -> DevicePool:
        """The GPUs that are not excluded; CPU slots where there are none, or beside them where that is configured."""
        nvml = Nvml.open() if config.gpus else None
        devices = [
            Device(
                id=gpu.uuid,
                kind=DeviceKind.GPU,
                index=gpu.index,
                name=gpu.name,
                slots=config.slots_per_gpu,
                memory_total_bytes=gpu.memory_total_bytes,
            )
            for gpu in (nvml.gpus() if nvml else [])
            if gpu.uuid not in config.exclude and str(gpu.index) not in config.exclude
        ]
        if not devices or config.cpu_beside_gpus:
            total = psutil.virtual_memory().total
            psutil.cpu_percent()  # the first call only sets the mark that the next one measures from
            devices += [
                Device(id=f"cpu:{n}", kind=DeviceKind.CPU, index=n, name=f"CPU slot {n}", memory_total_bytes=total)
                for n in range(config.cpu_slots)
            ]
        return cls(devices, nvml, telemetry_s=config.telemetry_s)

    def add(self, device: Device) -> None:
        """Offer what was not found here: a runner's slots elsewhere."""
        self._devices.append(device)

    @property
    def devices(self) -> list[Device]:
        """Each device with the figures of the last reading, and without leases."""
        return [_with_figures(device, self._figures.get(device.id)) for device in self._devices]

    def snapshot(self, leases: Iterable[LeaseRecord], jobs: Iterable[JobRecord]) -> list[Device]:
        """Each device with its leases; `jobs` tells what the holders do, and may hold others too."""
        holders = {job.id: job for job in jobs}
        devices = self.devices
        found = {device.id: device for device in devices}
        for lease in leases:
            job = holders.get(lease.job_id)
            if lease.device_id in found and job is not None:
                found[lease.device_id].leases.append(
                    DeviceLease(lease.job_id, job.action, job.network, lease.slot, lease.since)
                )
        return devices

    def grants(self, device_ids: Iterable[str]) -> list[DeviceGrant]:
        """What a run is told of the devices that it holds; one that is not known any more is left out."""
        found = {device.id: device for device in self._devices}
        return [
            DeviceGrant(id=found[name].id, kind=found[name].kind.value, index=found[name].index)
            for name in device_ids
            if name in found
        ]

    def read(self) -> None:
        """Read the figures anew. Takes milliseconds a GPU, so it is called in a thread; several may."""
        figures: dict[str, Figures] = {}
        machine: Figures | None = None
        for device in self._devices:
            if device.kind is DeviceKind.GPU and self._nvml is not None:
                figures[device.id] = self._nvml.figures(device.id)
            elif device.kind is DeviceKind.CPU:
                machine = machine or _machine()
                figures[device.id] = machine
        self._figures = figures


def _machine() -> Figures:
    """Memory and processor of the whole machine, which its CPU slots share."""
    memory = psutil.virtual_memory()
    return Figures(
        memory_total_bytes=memory.total,
        memory_used_bytes=memory.total - memory.available,
        utilisation_percent=psutil.cpu_percent(),
    )


def _with_figures(device: Device, figures: Figures | None) -> Device:
    if figures is None:
        return msgspec.structs.replace(device, leases=[])
    return msgspec.structs.replace(
        device,
        leases=[],
        busy_reason=LOST if figures.lost else device.busy_reason,
        memory_total_bytes=figures.memory_total_bytes or device.memory_total_bytes,
        memory_used_bytes=figures.memory_used_bytes,
        utilisation_percent=figures.utilisation_percent,
        temperature_c=figures.temperature_c,
        power_w=figures.power_w,
        power_limit_w=figures.power_limit_w,
        processes=figures.processes,
    )
