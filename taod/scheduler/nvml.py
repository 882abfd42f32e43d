"""NVML touched in one place: which GPUs there are and what they are doing; any figure may be missing."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec

DRIVER = "libnvidia-ml.so.1"
"""The driver's library, by the name under which pynvml looks for it."""


class Gpu(msgspec.Struct, frozen=True):
    """One GPU as the driver names it."""

    uuid: str
    index: int
    name: str
    memory_total_bytes: int | None


class Figures(msgspec.Struct, frozen=True):
    """What a GPU is doing; None where the driver or the card does not tell."""

    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilisation_percent: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    processes: list[int] = []
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

    def gpus(self) -> list[Gpu]:
        """Every GPU that answers, by index."""
        nvml, found = self._library, []
        for index in range(self._ask(nvml.nvmlDeviceGetCount) or 0):
            handle = self._ask(nvml.nvmlDeviceGetHandleByIndex, index)
            uuid = None if handle is None else self._ask(nvml.nvmlDeviceGetUUID, handle)
            if uuid is None:
                continue
            memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
            name = _text(self._ask(nvml.nvmlDeviceGetName, handle) or "GPU")
            found.append(Gpu(_text(uuid), index, name, None if memory is None else int(memory.total)))
        return found

    def figures(self, uuid: str) -> Figures:
        """What the GPU of that UUID is doing now."""
        nvml = self._library
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            memory = self._read(nvml.nvmlDeviceGetMemoryInfo, handle)
            usage = self._read(nvml.nvmlDeviceGetUtilizationRates, handle)
            temperature = self._read(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
            power = self._read(nvml.nvmlDeviceGetPowerUsage, handle)
            limit = self._read(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
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
            processes=sorted(process.pid for process in running or []),
        )

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


def _text(value: str | bytes) -> str:
    """Older bindings answer in bytes."""
    return value.decode() if isinstance(value, bytes) else value
