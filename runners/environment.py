"""The environment of a run: variables inherited from the daemon, visible devices, additions of taod.toml."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from runners.processes import RUN_VARIABLE
from runners.protocol import DeviceGrant, RunRequest
from taod.config import INHERIT, RunnerConfig

GPU = "gpu"
LEASED = "TAOD_LEASED_GPUS"
"""The GPUs of a native run by UUID, comma-separated; read by `lease_guard/sitecustomize.py`."""
ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""Makes CUDA number GPUs as nvidia-smi and NVML do; by default it numbers the fastest GPU first."""
OWN = "TAOD_"
"""Variables with this prefix are the daemon's own and never inherited."""
DEFAULTS = {"TELEMETRY_OPT_OUT": "yes", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Disables the telemetry of NVIDIA's tools (first) and of the Hugging Face libraries in them (second)."""


CACHES = {"HF_HOME": "huggingface", "TORCH_HOME": "torch", "XDG_CACHE_HOME": "."}
"""Variables of libraries that download weights and tokenizers -> their folder in the cache, laid out as ~/.cache."""


class Rules(msgspec.Struct, frozen=True):
    """`runner.inherit`, `runner.environment` and `runner.cache` of taod.toml."""

    inherit: list[str] = msgspec.field(default_factory=lambda: list(INHERIT))
    extra: dict[str, str] = {}
    cache: Path | None = None
    """The folder of downloads that runs share; None: the tools' own folders."""
    cache_for_all: bool = False
    """Whether runs of tools that taod did not install use it too: it is set in taod.toml."""

    @classmethod
    def of(cls, config: RunnerConfig, cache: Path | None = None) -> Rules:
        return cls(list(config.inherit), dict(config.environment), cache, bool(config.cache))

    def caches(self) -> dict[str, str]:
        """The variables that name the cache's folders."""
        return {} if self.cache is None else {name: str(self.cache / below) for name, below in CACHES.items()}


def inherited(patterns: Sequence[str], source: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of `source` that match `patterns`: exact names, and prefixes that end in `*`."""
    names = {pattern for pattern in patterns if not pattern.endswith("*")}
    prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
    return {
        name: value
        for name, value in source.items()
        if (name in names or name.startswith(prefixes)) and not name.startswith(OWN)
    }


def of_every_run(request: RunRequest, extra: Mapping[str, str], *, gpus: int) -> dict[str, str]:
    """Variables that taod sets for a run of any runner; `extra`: `runner.environment`, which overrides the defaults."""
    return {
        **DEFAULTS,
        "NUM_GPU_PER_NODE": str(gpus),
        "PYTHONUNBUFFERED": "1",
        **request.command.environment,
        **extra,
        "TAOD_JOB_ID": request.job_id,
        RUN_VARIABLE: request.mark.partition("=")[2],
    }


def of_run(request: RunRequest, extra: Mapping[str, str], *, threads: int) -> dict[str, str]:
    """Variables that taod sets for a run on this machine's devices.

    GPUs are named by UUID, since indices may change; `threads` applies to CPU slots only.
    """
    gpus = [device for device in request.devices if device.kind == GPU]
    visible = ",".join(device.id for device in gpus)
    share = {} if gpus else {"OMP_NUM_THREADS": str(threads * max(1, _slots(request.devices)))}
    devices = {"CUDA_VISIBLE_DEVICES": visible, "NVIDIA_VISIBLE_DEVICES": visible, **ORDER}
    return share | of_every_run(request, extra, gpus=len(gpus)) | devices


def threads_per_slot(configured: int, cpu_slots: int) -> int:
    """`configured`, or for 0 the cores that this process may use shared among the slots; at least 1."""
    return configured or max(1, len(os.sched_getaffinity(0)) // max(1, cpu_slots))


def _slots(devices: list[DeviceGrant]) -> int:
    return sum(device.kind != GPU for device in devices)
