"""Devices: GPUs as NVML reports them, or CPU slots without GPUs."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from taod.types.reason import Reason


class DeviceKind(StrEnum):
    GPU = "gpu"
    CPU = "cpu"
    CLUSTER = "cluster"


class DeviceLease(msgspec.Struct):
    """The holder of a slot of a device. For another user's job, id, action and network are empty."""

    job_id: str
    action: str
    network: str
    slot: int
    since: str


class Device(msgspec.Struct):
    """One device with its leases and readings; an unavailable reading is null."""

    id: str
    """UUID of a GPU or MIG instance; `cpu:N` for a CPU slot; `cluster:NAME` for an off-host runner."""
    kind: DeviceKind
    index: int
    name: str
    slots: int = 1
    leases: list[DeviceLease] = []
    busy_reason: Reason | None = None
    """Why it accepts no run although a slot is free: one of the reasons of devices."""
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilisation_percent: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    processes: list[int] = []
    parent: str | None = None
    """UUID of the GPU of a MIG instance; a run can lease one instance, or whole GPUs."""
