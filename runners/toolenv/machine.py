"""Facts about this machine that an installation depends on."""

from __future__ import annotations

import ctypes
import platform
import re
import shutil
from pathlib import Path

import msgspec

_GLIBCXX = re.compile(rb"GLIBCXX_(\d+\.\d+\.\d+)\0")


class Machine(msgspec.Struct, frozen=True):
    """Facts found on a machine; tests create their own."""

    processor: str
    gpus: int = 0
    driver: str = ""
    """Version of the NVIDIA driver; empty without a working driver."""
    cuda: int = 0
    """Newest major version of CUDA that the driver supports."""
    glibcxx: str = ""
    """Newest GLIBCXX symbol version of the system's libstdc++; empty without one."""
    free_bytes: int = 0
    """Free bytes of the environment's file system."""


def examine(folder: Path) -> Machine:
    """The machine, for an environment below `folder` (which need not exist)."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    gpus, driver, cuda = _driver()
    return Machine(
        processor=platform.machine(),
        gpus=gpus,
        driver=driver,
        cuda=cuda,
        glibcxx=newest_glibcxx(_libstdcxx()),
        free_bytes=shutil.disk_usage(existing).free,
    )


def newest_glibcxx(library: Path | None) -> str:
    """The newest GLIBCXX version that a libstdc++ defines, read from its string table; empty without a library."""
    try:
        found = _GLIBCXX.findall(library.read_bytes()) if library is not None else []
    except OSError:
        return ""
    versions = [tuple(map(int, each.decode().split("."))) for each in found]
    return ".".join(map(str, max(versions))) if versions else ""


def _libstdcxx() -> Path | None:
    """The file that the dynamic loader uses as libstdc++.so.6."""
    try:
        ctypes.CDLL("libstdc++.so.6")
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    lines = (line.partition("/")[2] for line in maps.splitlines() if "/libstdc++.so" in line)
    return next((Path("/" + line) for line in lines), None)


def _driver() -> tuple[int, str, int]:
    """Number of GPUs, driver version, and the major version of CUDA that it supports."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0, "", 0
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        count = pynvml.nvmlDeviceGetCount()
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2() // 1000
    except pynvml.NVMLError:
        return 0, "", 0
    finally:
        pynvml.nvmlShutdown()
    return count, driver if isinstance(driver, str) else driver.decode(), cuda
