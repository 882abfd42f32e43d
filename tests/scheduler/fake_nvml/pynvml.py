"""NVML's Python side for tests: answers from the scenario file that `TAOD_TEST_NVML` names, parsed at each reading.

The file is JSON: `{"gpus": [{"uuid", "name", "memory_total", "memory_used", "utilisation", "temperature", "power",
"power_limit", "energy", "processes": [{"pid", "memory"}], "lost", "mute": [values that the card lacks], "mig": [the
same for each instance]}], "events": [{"reading": 3, "uuid": …, "set": {"lost": true}}]}`. An event applies from this
process's listing of GPUs with that number on. A folder with this file first on PYTHONPATH, and a library of the
driver's name in LD_LIBRARY_PATH, make a real daemon see these GPUs.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NVML_TEMPERATURE_GPU = 0
_readings = 0


class NVMLError(Exception):
    pass


class NVMLError_GpuIsLost(NVMLError):
    pass


class NVMLError_NotFound(NVMLError):
    pass


class NVMLError_NotSupported(NVMLError):
    pass


class NVMLError_Uninitialized(NVMLError):
    pass


class Handle(str):
    """A GPU's UUID."""


def _scenario() -> dict[str, Any]:
    return json.loads(Path(os.environ["TAOD_TEST_NVML"]).read_text())


def _gpus() -> list[dict[str, Any]]:
    scenario = _scenario()
    gpus = scenario["gpus"]
    for event in scenario.get("events", []):
        if _readings >= event["reading"]:
            for gpu in gpus:
                if gpu["uuid"] == event["uuid"]:
                    gpu.update(event["set"])
    return gpus


def _find(handle: str) -> dict[str, Any]:
    for gpu in _gpus():
        for one in (gpu, *gpu.get("mig", [])):
            if one["uuid"] == handle:
                if gpu.get("lost"):
                    raise NVMLError_GpuIsLost
                return one
    raise NVMLError_NotFound


def _figure(handle: str, name: str) -> Any:
    found = _find(handle)
    if name in found.get("mute", []) or name not in found:
        raise NVMLError_NotSupported
    return found[name]


def nvmlInit() -> None:
    if _scenario().get("broken"):
        raise NVMLError_Uninitialized


def nvmlShutdown() -> None:
    pass


def nvmlSystemGetDriverVersion() -> str:
    return "999.1"


def nvmlDeviceGetCount() -> int:
    global _readings
    _readings += 1
    return len(_gpus())


def nvmlDeviceGetHandleByIndex(index: int) -> Handle:
    gpu = _gpus()[index]
    if gpu.get("lost"):
        raise NVMLError_GpuIsLost
    return Handle(gpu["uuid"])


def nvmlDeviceGetHandleByUUID(uuid: str) -> Handle:
    return Handle(_find(uuid)["uuid"])


def nvmlDeviceGetUUID(handle: Handle) -> bytes:
    return str(_find(handle)["uuid"]).encode()


def nvmlDeviceGetName(handle: Handle) -> str:
    return str(_find(handle).get("name", "Test GPU"))


def nvmlDeviceGetMemoryInfo(handle: Handle) -> Any:
    used = _figure(handle, "memory_used")
    return SimpleNamespace(total=_figure(handle, "memory_total"), used=used)


def nvmlDeviceGetUtilizationRates(handle: Handle) -> Any:
    return SimpleNamespace(gpu=_figure(handle, "utilisation"))


def nvmlDeviceGetTemperature(handle: Handle, sensor: int) -> int:
    assert sensor == NVML_TEMPERATURE_GPU
    return int(_figure(handle, "temperature"))


def nvmlDeviceGetPowerUsage(handle: Handle) -> int:
    return int(_figure(handle, "power"))


def nvmlDeviceGetTotalEnergyConsumption(handle: Handle) -> int:
    return int(_figure(handle, "energy"))


def nvmlDeviceGetEnforcedPowerLimit(handle: Handle) -> int:
    return int(_figure(handle, "power_limit"))


def nvmlDeviceGetComputeRunningProcesses(handle: Handle) -> list[Any]:
    return [
        SimpleNamespace(pid=one["pid"], usedGpuMemory=one.get("memory"))
        for one in _find(handle).get("processes", [])
    ]  # fmt: skip


def nvmlDeviceGetMigMode(device: Handle) -> list[int]:
    if "mig" not in _find(device):
        raise NVMLError_NotSupported
    return [1, 1]


def nvmlDeviceGetMaxMigDeviceCount(device: Handle) -> int:
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(device: Handle, index: int) -> Handle:
    instances = _find(device)["mig"]
    if index >= len(instances):
        raise NVMLError_NotFound
    return Handle(instances[index]["uuid"])


def nvmlDeviceIsMigDeviceHandle(handle: Handle) -> int:
    return int(str(handle).startswith("MIG-"))


def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(migDevice: Handle) -> Handle:
    for gpu in _gpus():
        if any(one["uuid"] == migDevice for one in gpu.get("mig", [])):
            return Handle(gpu["uuid"])
    raise NVMLError_NotFound
