"""Attributes GPU processes to jobs or to foreign programs. Pure, except for reading /proc."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec

from runners.processes import PROC, marked_job, start_ticks
from taod.scheduler.devices.nvml import GpuProcess
from taod.types.reason import Reason, ReasonCode

NAMED = 3
"""So many foreign processes are named; the rest is counted."""


class Tenant(msgspec.Struct, frozen=True):
    """A process on a GPU, and what could be learned of it when it was seen."""

    pid: int
    name: str = ""
    job_id: str | None = None
    """The job in whose run it was started."""
    started: int | None = None
    """In clock ticks since boot; None where this machine's /proc does not show the process (another pid namespace)."""
    readable: bool = False
    """Whether its environment was readable, so that `job_id` is certain."""


def tenant(process: GpuProcess, proc: Path = PROC) -> Tenant:
    """Look a process up."""
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
    """Those that belong to none of the jobs `own`. One whose environment is not readable (a container's, of
    another user) counts as the holder's where the device is `held`. `lives`: whether one still exists."""
    return [
        one for one in tenants if one.job_id not in own and not (held and not one.readable) and lives(one)
    ]  # fmt: skip


def lives(one: Tenant) -> bool:
    """Whether the process that was seen is still there; one of which nothing could be learned, as far as is known."""
    return one.started is None or start_ticks(one.pid) == one.started


def in_use(found: list[Tenant]) -> Reason:
    """Why a device with these foreign processes is busy."""
    processes = [{"pid": one.pid, "name": one.name} for one in found[:NAMED]]
    return Reason(ReasonCode.DEVICE_FOREIGN, {"processes": processes, "more": max(0, len(found) - NAMED)})
