"""Devices from NVML's answers, including missing readings and lost GPUs, and CPU slots."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from runners.protocol import DeviceGrant
from store.records import LeaseRecord
from taod.config import DevicesConfig
from taod.scheduler.devices import nvml as nvml_module
from taod.scheduler.devices.inventory import DevicePool
from taod.scheduler.devices.nvml import Nvml
from taod.types.reason import Reason, ReasonCode


class NVMLError(Exception):
    pass


class GpuIsLost(NVMLError):
    pass


class Driver(ModuleType):
    """The used part of pynvml for two GPUs; the card does not support the calls in `mute`."""

    NVMLError = NVMLError
    NVMLError_GpuIsLost = GpuIsLost
    NVML_TEMPERATURE_GPU = 0

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.mute: set[str] = set()
        self.lost: set[str] = set()

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"GPU-{index}"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> bytes:
        return handle.encode()

    def _answer(self, name: str, handle: str, value: Any) -> Any:
        if handle in self.lost:
            raise GpuIsLost
        if name in self.mute:
            raise NVMLError
        return value

    def nvmlDeviceGetName(self, handle: str) -> bytes:
        return b"NVIDIA H100"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        return self._answer("memory", handle, SimpleNamespace(total=80, used=20))

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        return self._answer("usage", handle, SimpleNamespace(gpu=55))

    def nvmlDeviceGetMigMode(self, handle: str) -> list[int]:
        raise NVMLError

    def nvmlDeviceIsMigDeviceHandle(self, handle: str) -> int:
        return 0

    def nvmlShutdown(self) -> None:
        pass

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> Any:
        return self._answer("temperature", handle, 61)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> Any:
        return self._answer("power", handle, 250_500)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> Any:
        return self._answer("energy", handle, 7_200_000)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: str) -> Any:
        return self._answer("limit", handle, 700_000)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> Any:
        return self._answer("processes", handle, [SimpleNamespace(pid=9), SimpleNamespace(pid=4)])


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setattr(nvml_module.Nvml, "open", classmethod(lambda cls: Nvml(driver)))
    return driver


def test_without_a_driver_its_python_module_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml_module, "DRIVER", "libno-such-driver.so.1")
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    assert Nvml.open() is None and "pynvml" not in sys.modules


@pytest.mark.parametrize("answers", [True, False])
def test_a_driver_is_opened_where_it_answers(monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    def init() -> None:
        if not answers:
            raise NVMLError

    driver = Driver()
    driver.nvmlInit = init
    monkeypatch.setattr(nvml_module, "DRIVER", "libc.so.6")
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    assert (Nvml.open() is not None) is answers


def test_gpus_are_found_by_uuid(driver: Driver) -> None:
    pool = DevicePool.detect(DevicesConfig(slots_per_gpu=2))
    assert [(d.id, d.kind, d.index, d.name, d.slots, d.memory_total_bytes) for d in pool.devices] == [
        ("GPU-0", "gpu", 0, "NVIDIA H100", 2, 80),
        ("GPU-1", "gpu", 1, "NVIDIA H100", 2, 80),
    ]
    assert pool.grants(["GPU-1", "gone"]) == [DeviceGrant("GPU-1", "gpu", 1)]


@pytest.mark.parametrize(
    ("config", "ids"),
    [
        (DevicesConfig(exclude=["GPU-0"]), ["GPU-1"]),
        (DevicesConfig(exclude=["1"]), ["GPU-0"]),
        (DevicesConfig(exclude=["0", "1"], cpu_slots=2), ["cpu:0", "cpu:1"]),
        (DevicesConfig(cpu_beside_gpus=True), ["GPU-0", "GPU-1", "cpu:0"]),
        (DevicesConfig(gpus=False), ["cpu:0"]),
    ],
)
def test_which_devices_are_offered(driver: Driver, config: DevicesConfig, ids: list[str]) -> None:
    assert [device.id for device in DevicePool.detect(config).devices] == ids


def test_readings_that_the_card_lacks_are_none(driver: Driver) -> None:
    pool = DevicePool.detect(DevicesConfig(foreign="ignore"))
    driver.mute = {"usage", "power"}
    pool.read()
    device = pool.devices[0]
    assert (device.memory_used_bytes, device.temperature_c, device.power_limit_w) == (20, 61.0, 700.0)
    assert device.processes == [4, 9]
    assert device.utilisation_percent is None and device.power_w is None


def test_a_lost_gpu_is_busy_and_the_others_are_not(driver: Driver) -> None:
    pool = DevicePool.detect(DevicesConfig(foreign="ignore"))
    driver.lost = {"GPU-1"}
    pool.read()
    first, second = pool.devices
    assert first.busy_reason is None
    assert second.busy_reason == Reason(ReasonCode.DEVICE_SILENT)
    driver.lost = set()
    pool.read()
    assert pool.devices[1].busy_reason is None


def test_a_machine_without_a_driver_has_cpu_slots_with_its_own_readings() -> None:
    pool = DevicePool.detect(DevicesConfig(gpus=False, cpu_slots=2))
    pool.read()
    assert [device.id for device in pool.devices] == ["cpu:0", "cpu:1"]
    assert (pool.devices[0].memory_used_bytes or 0) > 0


def test_a_lease_of_a_missing_device_or_job_is_omitted(driver: Driver) -> None:
    pool = DevicePool.detect(DevicesConfig())
    assert all(not device.leases for device in pool.snapshot([LeaseRecord("GPU-9", 0, "j", "")], []))
    assert all(not device.leases for device in pool.snapshot([LeaseRecord("GPU-0", 0, "j", "")], []))
