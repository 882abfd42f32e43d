"""A control group for each run: its processes cannot leave it unseen, and it limits their memory where that is asked.

Limited groups are created by systemd or in the file system; those of other runs lie below the daemon's own group, so
that whatever limits the daemon limits them, too.

Version 2 has the group's limit in `memory.max` and counts kills in `memory.events`; version 1, which some machines
still have for memory, in `memory.limit_in_bytes` and `memory.oom_control`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path

import msgspec

CGROUPS = Path("/sys/fs/cgroup")
SYSTEMD = Path("/run/systemd/system")
PROC_SELF = Path("/proc/self/cgroup")
VMSTAT = Path("/proc/vmstat")
OURS = "taod"
VARIABLE = "TAOD_GROUP"
"""Names the group to the wrapper, which enters it before it becomes the tool's parent."""
LIMITED = "TAOD_LIMITED"
"""Set where a run must not start outside its group."""

log = logging.getLogger(__name__)


class Method(msgspec.Struct, frozen=True):
    """Available cgroup method: groups created in `folder`, or by `systemd`; else the reason why there is none."""

    folder: Path | None = None
    version: int = 2
    systemd: list[str] = []
    """The command that runs its arguments in a new group."""
    unavailable: str = ""


def available_method(cgroups: Path = CGROUPS, systemd: Path = SYSTEMD, root: bool | None = None) -> Method:
    """The method that is available to this user now."""
    root = os.geteuid() == 0 if root is None else root
    if (found := _by_systemd(systemd, root)) is not None:
        return found
    if "memory" in _words(cgroups / "cgroup.controllers"):
        return _by_hand(cgroups, version=2)
    if (cgroups / "memory" / "memory.limit_in_bytes").exists():
        return _by_hand(cgroups / "memory", version=1)
    return Method(unavailable="the kernel offers no control groups for memory here")


def create(found: Method, name: str, memory_bytes: int) -> Path | None:
    """Create a group with this limit in the file system; None with another method, or where that fails."""
    if found.folder is None:
        return None
    group = found.folder / name
    try:
        found.folder.mkdir(exist_ok=True)
        if found.version == 2:
            _delegate(found.folder.parent)
            _delegate(found.folder)
        group.mkdir(exist_ok=True)
        if found.version == 2:
            (group / "memory.max").write_text(str(memory_bytes))
            _try(group / "memory.swap.max", "0")
        else:
            (group / "memory.limit_in_bytes").write_text(str(memory_bytes))
            _try(group / "memory.memsw.limit_in_bytes", str(memory_bytes))
    except OSError:
        log.exception("the control group %s could not be made", group)
        remove(group)
        return None
    return group


def below_own(name: str, own: Path = PROC_SELF, cgroups: Path = CGROUPS) -> Path | None:
    """Create a group without limits below this process's own; None where this account may not."""
    for folder in _folders(own, cgroups):
        with contextlib.suppress(OSError):
            (folder / f"{OURS}-{name}").mkdir(exist_ok=True)
            return folder / f"{OURS}-{name}"
    return None


def scope_of(pid: int, name: str, cgroups: Path = CGROUPS) -> Path | None:
    """The group of a process that `systemd_words` has started; None once it has ended."""
    folders = _folders(Path(f"/proc/{pid}/cgroup"), cgroups)
    return next((folder for folder in folders if folder.name == f"{OURS}-{name}.scope"), None)


def pids(group: Path) -> list[int]:
    """The processes of a group and of those that they have made below it; none if it is removed meanwhile."""
    folders = [folder for folder, _, _ in os.walk(group)]
    return [int(pid) for folder in folders for pid in _words(Path(folder) / "cgroup.procs")]


def systemd_words(found: Method, name: str, memory_bytes: int) -> list[str]:
    """Words before a command that run it in a scope with this limit; its pid stays the same."""
    if not found.systemd:
        return []
    limit = [f"--property=MemoryMax={memory_bytes}", "--property=MemorySwapMax=0", f"--unit=taod-{name}"]
    return [*found.systemd, *limit, "--"]


def kills(group: Path) -> int:
    """How often the kernel killed a process of the group for its memory."""
    for name in ("memory.events", "memory.oom_control"):
        if (number := _counter(group / name)) is not None:
            return number
    return 0


def machine_kills(vmstat: Path = VMSTAT) -> int | None:
    """How often the kernel has killed for memory since boot, anywhere; None where the kernel has no counter."""
    return _counter(vmstat)


def remove(group: Path) -> None:
    """Give the group up with those below it; its processes are gone."""
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def _by_systemd(systemd: Path, root: bool) -> Method | None:
    program = shutil.which("systemd-run")
    if program is None or not systemd.is_dir():
        return None
    scope = [program, "--scope", "--quiet", "--collect"]
    if root:
        return Method(systemd=scope)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and (Path(runtime) / "systemd" / "private").exists():
        return Method(systemd=[*scope, "--user"])
    return None


def _by_hand(top: Path, *, version: int) -> Method:
    if not os.access(top, os.W_OK):
        return Method(unavailable=f"{top} cannot be written to, and no systemd is available")
    return Method(folder=top / OURS, version=version)


def _delegate(folder: Path) -> None:
    """Let the groups below have limits of memory."""
    if "memory" not in _words(folder / "cgroup.subtree_control"):
        (folder / "cgroup.subtree_control").write_text("+memory")


def _folders(process: Path, cgroups: Path) -> list[Path]:
    """The groups of a process (`/proc/PID/cgroup`) in the hierarchies that serve to find processes."""
    found: list[Path] = []
    try:
        lines = process.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        tops = {"": ("", "unified"), "name=systemd": ("systemd",), "memory": ("memory",)}.get(controllers, ())
        found += [cgroups / top / path.lstrip("/") for top in tops]
    return [folder for folder in found if (folder / "cgroup.procs").exists()]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _try(path: Path, text: str) -> None:
    """For a bound that a kernel may be built without."""
    with contextlib.suppress(OSError):
        path.write_text(text)


def _counter(path: Path) -> int | None:
    try:
        for line in path.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    except OSError:
        pass
    return None
