"""NVML touched in one place: which GPUs and MIG instances there are, and what they do; any figure may be missing."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import msgspec

DRIVER = "libnvidia-ml.so.1"
"""The driver's library, by the name under which pynvml looks for it."""


class Gpu(msgspec.Struct, frozen=True):
    """One GPU, or one MIG instance of one, as the driver names it."""

    uuid: str
    index: int
    """The GPU's, which its MIG instances share."""
    name: str
    memory_total_bytes: int | None
    parent: str | None = None
    """UUID of the GPU that a MIG instance is a part of."""
    instance: int | None = None
    """The MIG instance's number on its GPU."""


class GpuProcess(msgspec.Struct, frozen=True):
    """One process with a context on a GPU."""

    pid: int
    memory_bytes: int | None = None


class Figures(msgspec.Struct, frozen=True):
    """What a GPU is doing; None where the driver or the card does not report it."""

    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilisation_percent: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    processes: list[GpuProcess] = []
    lost: bool = False
    """The driver knows of it no more: fallen off the bus, or taken away."""


class Nvml:
    """An initialised NVML. Its calls are made from one thread at a time, and may take milliseconds each."""

    def __init__(self, library: ModuleType) -> None:
        self._library = library
        self._gone = tuple(
            getattr(library, name)
            for name in ("NVMLError_GpuIsLost", "NVMLError_NotFound", "NVMLError_Uninitialized")
            if hasattr(library, name)
        )

    @classmethod
    def open(cls) -> Nvml | None:
        """None where there is no NVIDIA driver, or one that does not answer."""
        try:
            ctypes.CDLL(DRIVER)
        except OSError:
            return None  # Asked first, because its Python side takes 30 ms of a start to load.
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return None
        return cls(pynvml)

    def renew(self) -> None:
        """Close the library and open it again: one that has lost a GPU does not see it come back otherwise."""
        self._ask(self._library.nvmlShutdown)
        self._ask(self._library.nvmlInit)

    def driver(self) -> str:
        """The driver's version; empty where it is unknown."""
        return _text(self._ask(self._library.nvmlSystemGetDriverVersion) or "")

    def gpus(self) -> list[Gpu]:
        """Every GPU that answers, by index; one in MIG mode is left out and its instances stand in its place."""
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

    def figures(self, uuid: str) -> Figures:
        """What the GPU or MIG instance of that UUID is doing now."""
        nvml = self._library
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            card = self._card(handle)
            memory = self._read(nvml.nvmlDeviceGetMemoryInfo, handle)
            usage = self._read(nvml.nvmlDeviceGetUtilizationRates, handle)
            temperature = self._read(nvml.nvmlDeviceGetTemperature, card, nvml.NVML_TEMPERATURE_GPU)
            power = self._read(nvml.nvmlDeviceGetPowerUsage, card)
            limit = self._read(nvml.nvmlDeviceGetEnforcedPowerLimit, card)
            running = self._read(nvml.nvmlDeviceGetComputeRunningProcesses, handle)
        except self._gone:
            return Figures(lost=True)
        except nvml.NVMLError:
            return Figures()
        return Figures(
            memory_total_bytes=None if memory is None else int(memory.total),
            memory_used_bytes=None if memory is None else int(memory.used),
            utilisation_percent=None if usage is None else float(usage.gpu),
            temperature_c=None if temperature is None else float(temperature),
            power_w=None if power is None else power / 1000,
            power_limit_w=None if limit is None else limit / 1000,
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
            # The places of instances that were not made answer with an error.
            instance = self._ask(self._library.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
            found = None if instance is None else self._gpu(instance, gpu.index, gpu.uuid, number)
            if found is not None:
                yield found

    def _card(self, handle: Any) -> Any:
        """The handle that reports temperature and power: of a MIG instance, its whole GPU's."""
        if not self._read(self._library.nvmlDeviceIsMigDeviceHandle, handle):
            return handle
        return self._read(self._library.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, handle) or handle

    def _read(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """The answer, or None where this one figure is not to be had. Raises what says that the whole GPU is gone."""
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
    """Older bindings answer in bytes."""
    return value.decode() if isinstance(value, bytes) else value
