"""The inventory of devices: GPUs reported by NVML, CPU slots, clusters. Knows no queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterable, Mapping

import msgspec
import psutil

from runners.protocol import DeviceGrant
from store import Store
from store.records import JobRecord, LeaseRecord
from taod.config import DevicesConfig
from taod.scheduler.devices.gpu_processes import Tenant, busy_with, foreign, lives, tenant
from taod.scheduler.devices.nvml import Gpu, Measurements, Nvml
from taod.scheduler.policy.wait_reasons import device_label
from taod.types.device import Device, DeviceKind, DeviceLease
from taod.types.reason import Reason, ReasonCode

LOST = Reason(ReasonCode.DEVICE_SILENT)
GIB = 1024**3
PATIENCE_S = 5.0
"""How long a measurement waits for the previous one, and how long it may take before a start continues."""


class DevicePool:
    """The detected devices with their last measurements."""

    def __init__(self, devices: list[Device], nvml: Nvml | None = None, config: DevicesConfig | None = None) -> None:
        self._config = config or DevicesConfig()
        self.telemetry_s = self._config.telemetry_s
        """Seconds between measurements while a client listens."""
        self._devices = devices
        self._nvml = nvml
        self._measurements: Mapping[str, Measurements] = {}
        self._tenants: Mapping[str, list[Tenant]] = {}
        self._reading = threading.Lock()

    @classmethod
    def detect(cls, config: DevicesConfig) -> DevicePool:
        """Detect the GPUs that are not excluded; add CPU slots if there are none, or if configured."""
        nvml = Nvml.open() if config.gpus else None
        devices = [_device(gpu, config) for gpu in (nvml.gpus() if nvml else []) if not _excluded(gpu, config)]
        if not devices or config.cpu_beside_gpus:
            total = psutil.virtual_memory().total
            psutil.cpu_percent()  # the first call starts the interval that the next one measures
            devices += [
                Device(id=f"cpu:{n}", kind=DeviceKind.CPU, index=n, name=f"CPU slot {n}", memory_total_bytes=total)
                for n in range(config.cpu_slots)
            ]
        return cls(devices, nvml, config)

    def add(self, device: Device) -> None:
        """Add a device, such as a cluster of an off-host runner."""
        self._devices.append(device)

    @property
    def devices(self) -> list[Device]:
        """Each device with its last measurements, without leases."""
        return [_with_measurements(device, self._measurements.get(device.id)) for device in self._devices]

    def snapshot(self, leases: Iterable[LeaseRecord], jobs: Iterable[JobRecord]) -> list[Device]:
        """Each device with its leases, and why it takes no run. `jobs`: at least those that hold leases."""
        leases, holders = list(leases), {job.id: job for job in jobs}
        own = {lease.job_id for lease in leases}
        devices = self.devices
        found = {device.id: device for device in devices}
        for lease in leases:
            job = holders.get(lease.job_id)
            if lease.device_id in found and job is not None:
                found[lease.device_id].leases.append(
                    DeviceLease(lease.job_id, job.action, job.network, lease.slot, lease.since)
                )
        for device in devices:
            device.busy_reason = device.busy_reason or self._unfit(device, own, held=bool(device.leases))
        return devices

    def with_leases(self, store: Store) -> list[Device]:
        """Each device with its present leases, and why it takes no run."""
        leases = store.leases.all()
        return self.snapshot(leases, store.jobs.named({lease.job_id for lease in leases}).values())

    def unfit(self, job_id: str, leases: Iterable[LeaseRecord]) -> Reason | None:
        """Why a run of this job cannot start on its leased devices, by the last measurements; None if it can."""
        leases = list(leases)
        own = {lease.job_id for lease in leases}
        wanted = {lease.device_id for lease in leases if lease.job_id == job_id}
        shared = {lease.device_id for lease in leases if lease.job_id != job_id}
        for device in self.devices:
            if device.id in wanted:
                fault = device.busy_reason or self._unfit(device, own, held=device.id in shared)
                if fault is not None:
                    return Reason(ReasonCode.DEVICE_UNFIT, {"device": device_label(device), "fault": fault.document()})
        return None

    def lost(self) -> set[str]:
        """Ids of the devices that did not answer at the last measurement."""
        return {device_id for device_id, figures in self._measurements.items() if figures.lost}

    def gpu_memory(self, pids: Collection[int]) -> int | None:
        """Bytes used by these processes on all GPUs at the last measurement; None if no driver reports them."""
        found = [one for figures in self._measurements.values() for one in figures.processes if one.pid in pids]
        known = [one.memory_bytes for one in found if one.memory_bytes is not None]
        return sum(known) if known else None

    def energy_j(self, device_ids: Iterable[str]) -> dict[str, float]:
        """GPU → its counter of energy at the last measurement, for those of these devices that have one."""
        found = {name: self._measurements[name].energy_j for name in device_ids if name in self._measurements}
        return {name: energy for name, energy in found.items() if energy is not None}

    def shared(self, device_ids: Iterable[str]) -> bool:
        """Whether one of these devices has a counter of energy that other runs add to: it has several slots, or is a
        MIG instance."""
        names = set(device_ids)
        return any(each.slots > 1 or each.parent is not None for each in self._devices if each.id in names)

    def grants(self, device_ids: Iterable[str]) -> list[DeviceGrant]:
        """Descriptions of leased devices for a run; unknown devices are omitted."""
        found = {device.id: device for device in self._devices}
        return [
            DeviceGrant(id=found[name].id, kind=found[name].kind.value, index=found[name].index)
            for name in device_ids
            if name in found
        ]

    @property
    def has_gpus(self) -> bool:
        return self._nvml is not None

    def read(self) -> None:
        """Measure the devices. Blocks for milliseconds per GPU; concurrent calls wait for each other.

        Raises TimeoutError if the previous call hangs: a GPU that falls off the bus may block the driver.
        """
        if not self._reading.acquire(timeout=PATIENCE_S):
            raise TimeoutError("the driver of the GPUs has not answered the question before")
        try:
            figures = self._read_gpus(self._nvml) if self._nvml is not None else {}
            slots = [device.id for device in self._devices if device.kind is DeviceKind.CPU]
            if slots:
                figures |= dict.fromkeys(slots, _machine())
            self._tenants = {name: [tenant(one) for one in reading.processes] for name, reading in figures.items()}
            self._measurements = figures
        finally:
            self._reading.release()

    def _read_gpus(self, nvml: Nvml) -> dict[str, Measurements]:
        """Measure all GPUs; adds new GPUs and MIG instances, and probes lost ones again."""
        if self.lost():
            nvml.reopen()
        there = nvml.gpus()
        known = {device.id for device in self._devices}
        new = [
            _device(gpu, self._config) for gpu in there if gpu.uuid not in known and not _excluded(gpu, self._config)
        ]
        if new:
            self._devices = sorted(
                [*self._devices, *new], key=lambda device: (device.kind is DeviceKind.CPU, device.index)
            )
        answering = {gpu.uuid for gpu in there}
        return {
            device.id: nvml.measure(device.id) if device.id in answering else Measurements(lost=True)
            for device in self._devices
            if device.kind is DeviceKind.GPU
        }

    async def read_async(self) -> None:
        """Call `read` in a thread. Raises TimeoutError after 2 × PATIENCE_S."""
        async with asyncio.timeout(2 * PATIENCE_S):
            await asyncio.to_thread(self.read)

    def _unfit(self, device: Device, own: Collection[str], *, held: bool) -> Reason | None:
        """Why a GPU that answers takes no run: foreign processes or too little free memory."""
        if device.kind is not DeviceKind.GPU:
            return None
        if self._config.foreign == "busy":
            others = foreign(self._tenants.get(device.id, []), own, held=held, lives=lives)
            if others:
                return busy_with(others)
        total, used, wanted = device.memory_total_bytes, device.memory_used_bytes, self._config.min_free_memory
        if wanted and total is not None and used is not None and total - used < wanted:
            sizes = {"free_gib": total - used, "total_gib": total, "wanted_gib": wanted}
            return Reason(ReasonCode.DEVICE_MEMORY, {name: round(size / GIB, 1) for name, size in sizes.items()})
        return None


def _device(gpu: Gpu, config: DevicesConfig) -> Device:
    return Device(
        id=gpu.uuid,
        kind=DeviceKind.GPU,
        index=gpu.index,
        name=gpu.name if gpu.parent is None else f"{gpu.name} (GPU {gpu.index}, instance {gpu.instance})",
        slots=config.slots_per_gpu,
        memory_total_bytes=gpu.memory_total_bytes,
        parent=gpu.parent,
    )


def _excluded(gpu: Gpu, config: DevicesConfig) -> bool:
    """A GPU's UUID or index excludes its MIG instances too."""
    return any(name in config.exclude for name in (gpu.uuid, gpu.parent, str(gpu.index)))


def _machine() -> Measurements:
    """Memory and CPU utilisation of the machine, which its CPU slots share."""
    memory = psutil.virtual_memory()
    return Measurements(
        memory_total_bytes=memory.total,
        memory_used_bytes=memory.total - memory.available,
        utilisation_percent=psutil.cpu_percent(),
    )


def _with_measurements(device: Device, figures: Measurements | None) -> Device:
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
        processes=[one.pid for one in figures.processes],
    )
