"""Scenarios of GPUs for the fake NVML, in this process or in a real daemon's."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from taod.scheduler.devices import nvml as nvml_module

FAKE = Path(__file__).parent / "fake_nvml"
GIB = 1024**3


def gpu(number: int, **more: Any) -> dict[str, Any]:
    """A GPU as a scenario has it."""
    return {
        "uuid": f"GPU-{number}",
        "name": f"Test GPU {number}",
        "memory_total": 80 * GIB,
        "memory_used": GIB,
        "utilisation": 5,
        "temperature": 40,
        "power": 90_500,
        "power_limit": 700_000,
        "energy": 3_600_000,
        "processes": [],
    } | more


def mig(number: int, **more: Any) -> dict[str, Any]:
    """A MIG instance: temperature and power are those of its GPU, and it reports no utilisation."""
    return {
        "uuid": f"MIG-{number}",
        "name": "Test GPU MIG 1g.10gb",
        "memory_total": 10 * GIB,
        "memory_used": 0,
        "processes": [],
    } | more


class Scenario:
    """The file that the fake reads; `set` changes it for all who read it."""

    def __init__(self, folder: Path, *gpus: dict[str, Any]) -> None:
        self.path = folder / "nvml.json"
        self.gpus = list(gpus)
        self.events: list[dict[str, Any]] = []
        self.write()

    def set(self, uuid: str, **changes: Any) -> None:
        for one in self.gpus:
            for each in (one, *one.get("mig", [])):
                if each["uuid"] == uuid:
                    each.update(changes)
        self.write()

    def write(self) -> None:
        aside = self.path.with_suffix(".new")
        aside.write_text(json.dumps({"gpus": self.gpus, "events": self.events}))
        aside.replace(self.path)

    def environment(self) -> Mapping[str, str]:
        """What a daemon's process needs to see these GPUs."""
        libraries = self.path.parent / "driver"
        libraries.mkdir(exist_ok=True)
        link = libraries / nvml_module.DRIVER
        if not link.exists():
            # Any library that is there: it is asked only whether it can be loaded.
            link.symlink_to(_a_library())
        paths = [str(FAKE), *filter(None, sys.path)]
        return {
            "TAOD_TEST_NVML": str(self.path),
            "LD_LIBRARY_PATH": str(libraries),
            "PYTHONPATH": os.pathsep.join(paths),
        }

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process see these GPUs."""
        monkeypatch.setenv("TAOD_TEST_NVML", str(self.path))
        monkeypatch.setattr(nvml_module, "DRIVER", "libc.so.6")
        monkeypatch.setitem(sys.modules, "pynvml", fake())


def fake() -> Any:
    """A new instance of the fake, whose count of readings starts at 0."""
    spec = importlib.util.spec_from_file_location("pynvml", FAKE / "pynvml.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _a_library() -> str:
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "/libc.so" in line or "/libc-" in line:
            return line.split(maxsplit=5)[5]
    raise AssertionError("this process has no libc")
