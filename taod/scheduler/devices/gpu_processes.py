"""Attributes GPU processes to jobs or to foreign programs. Pure, except for reading /proc."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec

from runners.processes import PROC, marked_job, start_ticks
from taod.scheduler.devices.nvml import GpuProcess
from taod.types.reason import Reason, ReasonCode

NAMED = 3
"""Number of foreign processes that a reason names; the others are counted."""


class Tenant(msgspec.Struct, frozen=True):
    """A process on a GPU, with its properties at the time of the measurement."""

    pid: int
    name: str = ""
    job_id: str | None = None
    """The job of its run, by its environment mark."""
    started: int | None = None
    """Start time in clock ticks since boot; None if /proc does not show the process (another pid namespace)."""
    readable: bool = False
    """Whether its environment was readable; only then `job_id` is reliable."""


def tenant(process: GpuProcess, proc: Path = PROC) -> Tenant:
    """Read the properties of a process from /proc."""
    folder = proc / str(process.pid)
    try:
        name = (folder / "comm").read_text(errors="replace").strip()
    except OSError:
        return Tenant(process.pid)
    started = start_ticks(process.pid)
    try:
        environ = (folder / "environ").read_bytes()
    except OSError:
        return Tenant(process.pid, name, started=started)
    return Tenant(process.pid, name, marked_job(environ), started, readable=True)


def foreign(
    tenants: Iterable[Tenant],
    own: Collection[str],
    *,
    held: bool,
    lives: Callable[[Tenant], bool],
) -> list[Tenant]:
    """The processes that belong to none of the jobs `own` and still exist (`lives`).

    If the device is `held`, a process whose environment is not readable (in a container, of another user) is
    attributed to the holder.
    """
    return [
        one for one in tenants if one.job_id not in own and not (held and not one.readable) and lives(one)
    ]  # fmt: skip


def lives(one: Tenant) -> bool:
    """Whether the same process still exists; True if its start time is unknown."""
    return one.started is None or start_ticks(one.pid) == one.started


def busy_with(found: list[Tenant]) -> Reason:
    """Why a device with these foreign processes is busy."""
    processes = [{"pid": one.pid, "name": one.name} for one in found[:NAMED]]
    return Reason(ReasonCode.DEVICE_FOREIGN, {"processes": processes, "more": max(0, len(found) - NAMED)})
