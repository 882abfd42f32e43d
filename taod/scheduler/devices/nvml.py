"""The only user of NVML: lists and measures GPUs and MIG instances; any value may be missing."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import msgspec

DRIVER = "libnvidia-ml.so.1"
"""Name of the driver's library, as pynvml loads it."""


class Gpu(msgspec.Struct, frozen=True):
    """One GPU or MIG instance."""

    uuid: str
    index: int
    """Index of the GPU, which its MIG instances share."""
    name: str
    memory_total_bytes: int | None
    parent: str | None = None
    """UUID of a MIG instance's GPU."""
    instance: int | None = None
    """The MIG instance's number on its GPU."""


class GpuProcess(msgspec.Struct, frozen=True):
    """One process with a context on a GPU."""

    pid: int
    memory_bytes: int | None = None


class Measurements(msgspec.Struct, frozen=True):
    """The measurements of a GPU; None if the driver or the card does not report a value."""

    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilisation_percent: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    energy_j: float | None = None
    """Consumed since the driver was loaded; of a MIG instance its GPU's."""
    processes: list[GpuProcess] = []
    lost: bool = False
    """The driver does not know the GPU any more: it fell off the bus or was removed."""


class Nvml:
    """An initialised NVML. Use it from one thread at a time; each call may take milliseconds."""

    def __init__(self, library: ModuleType) -> None:
        self._library = library
        self._gone = tuple(
            getattr(library, name)
            for name in ("NVMLError_GpuIsLost", "NVMLError_NotFound", "NVMLError_Uninitialized")
            if hasattr(library, name)
        )

    @classmethod
    def open(cls) -> Nvml | None:
        """Initialise NVML. Returns None without an NVIDIA driver, or if the driver does not answer."""
        try:
            ctypes.CDLL(DRIVER)
        except OSError:
            return None  # Checked first, because importing pynvml takes 30 ms.
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return None
        return cls(pynvml)

    def reopen(self) -> None:
        """Close and reopen the library, which otherwise does not notice that a lost GPU has returned."""
        self._ask(self._library.nvmlShutdown)
        self._ask(self._library.nvmlInit)

    def driver(self) -> str:
        """The driver's version; empty if it is unknown."""
        return _text(self._ask(self._library.nvmlSystemGetDriverVersion) or "")

    def gpus(self) -> list[Gpu]:
        """Every GPU that answers, sorted by index; a GPU in MIG mode is replaced by its instances."""
        found: list[Gpu] = []
        for index in range(self._ask(self._library.nvmlDeviceGetCount) or 0):
            handle = self._ask(self._library.nvmlDeviceGetHandleByIndex, index)
            gpu = None if handle is None else self._gpu(handle, index)
            if gpu is None:
                continue
            mode = self._ask(self._library.nvmlDeviceGetMigMode, handle)
            if mode and mode[0]:
                found += self._instances(handle, gpu)
            else:
                found.append(gpu)
        return found

    def measure(self, uuid: str) -> Measurements:
        """Measure the GPU or MIG instance with this UUID."""
        nvml = self._library
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            card = self._card(handle)
            memory = self._read(nvml.nvmlDeviceGetMemoryInfo, handle)
            usage = self._read(nvml.nvmlDeviceGetUtilizationRates, handle)
            temperature = self._read(nvml.nvmlDeviceGetTemperature, card, nvml.NVML_TEMPERATURE_GPU)
            power = self._read(nvml.nvmlDeviceGetPowerUsage, card)
            limit = self._read(nvml.nvmlDeviceGetEnforcedPowerLimit, card)
            energy = self._read(nvml.nvmlDeviceGetTotalEnergyConsumption, card)
            running = self._read(nvml.nvmlDeviceGetComputeRunningProcesses, handle)
        except self._gone:
            return Measurements(lost=True)
        except nvml.NVMLError:
            return Measurements()
        return Measurements(
            memory_total_bytes=None if memory is None else int(memory.total),
            memory_used_bytes=None if memory is None else int(memory.used),
            utilisation_percent=None if usage is None else float(usage.gpu),
            temperature_c=None if temperature is None else float(temperature),
            power_w=None if power is None else power / 1000,
            power_limit_w=None if limit is None else limit / 1000,
            energy_j=None if energy is None else energy / 1000,
            processes=sorted((_process(one) for one in running or []), key=lambda one: one.pid),
        )

    def _gpu(self, handle: Any, index: int, parent: str | None = None, instance: int | None = None) -> Gpu | None:
        uuid = self._ask(self._library.nvmlDeviceGetUUID, handle)
        if uuid is None:
            return None
        memory = self._ask(self._library.nvmlDeviceGetMemoryInfo, handle)
        name = _text(self._ask(self._library.nvmlDeviceGetName, handle) or "GPU")
        return Gpu(_text(uuid), index, name, None if memory is None else int(memory.total), parent, instance)

    def _instances(self, handle: Any, gpu: Gpu) -> Iterator[Gpu]:
        for number in range(self._ask(self._library.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            # Indices of instances that were not created answer with an error.
            instance = self._ask(self._library.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
            found = None if instance is None else self._gpu(instance, gpu.index, gpu.uuid, number)
            if found is not None:
                yield found

    def _card(self, handle: Any) -> Any:
        """The handle that reports temperature and power: for a MIG instance, that of its GPU."""
        if not self._read(self._library.nvmlDeviceIsMigDeviceHandle, handle):
            return handle
        return self._read(self._library.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, handle) or handle

    def _read(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a call, or None if this value is not available. Raises the errors of a lost GPU."""
        try:
            return call(*arguments)
        except self._gone:
            raise
        except self._library.NVMLError:
            return None

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except self._library.NVMLError:
            return None


def _process(info: Any) -> GpuProcess:
    memory = getattr(info, "usedGpuMemory", None)
    return GpuProcess(int(info.pid), None if memory is None else int(memory))


def _text(value: str | bytes) -> str:
    """Decode text, which older bindings return as bytes."""
    return value.decode() if isinstance(value, bytes) else value
