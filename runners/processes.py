"""Processes on Linux: identity, members of a run, signals and the end of a run."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from runners import cgroup

PROC = Path("/proc")
MOST_PID = 2**22
"""The kernel's largest pid."""
KILL_ROUNDS = 50
"""Rounds of killing before processes that keep forking are reported as survivors."""


RUN_VARIABLE = "TAOD_RUN"
"""The environment variable that every process of a run inherits: `<job id>/<attempt>`."""


def run_mark(job_id: str, attempt: int) -> str:
    """The environment entry of a run's processes, by which `members` finds them."""
    return f"{RUN_VARIABLE}={job_id}/{attempt}"


def marked_job(environ: bytes) -> str | None:
    """The job whose run has this environment (`/proc/<pid>/environ`); None if it does not belong to a run."""
    prefix = f"{RUN_VARIABLE}=".encode()
    entry = next((one for one in environ.split(b"\0") if one.startswith(prefix)), None)
    return None if entry is None else entry.removeprefix(prefix).partition(b"/")[0].decode(errors="replace")


def start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None if it does not exist or is a zombie."""
    fields = _stat(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    return int(fields[19])


def age_s(ticks: int) -> float:
    """Seconds since a process started, from its start time in clock ticks since boot; never negative.

    Uses the boot-time clock, so setting the wall clock does not change it.
    """
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal (SIGSTOP, SIGTSTP) until SIGCONT."""
    fields = _stat(pid)
    return fields is not None and fields[0] == b"T"


def has_mark(pid: int, mark: str) -> bool:
    """Whether the process was started with the environment entry `mark` (`NAME=value`)."""
    try:
        environ = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return mark.encode() in environ.split(b"\0")


def command_line(pid: int) -> bytes:
    """The arguments, each ended by a zero byte; empty if they cannot be read."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def all_pids() -> Iterator[int]:
    """The processes of the machine."""
    for entry in os.scandir(PROC):
        if entry.name.isdigit():
            yield int(entry.name)


def started_by(pids: list[int]) -> list[int]:
    """The direct children of a launcher (`pids`: the launcher and its descendants), or the launcher without children.

    The launchers of release 7.3 end at once on SIGTERM and kill the training; a SIGTERM to the training alone lets it
    save a checkpoint, and the launcher ends after it. Shells before and between them are not launchers.
    """
    parents = {pid: int(fields[1]) for pid in pids if (fields := _stat(pid)) is not None}

    def past_shells(level: list[int]) -> list[int]:
        reached, left = [], list(level)
        while left:
            pid = left.pop()
            below = [one for one in parents if parents[one] == pid] if _is_shell(pid) else []
            left += below
            reached += [] if below else [pid]
        return reached

    launchers = past_shells([pid for pid in parents if parents[pid] not in parents])
    return past_shells([pid for pid in parents if parents[pid] in launchers]) or launchers


def _is_shell(pid: int) -> bool:
    """Whether a process is a shell, by its name; a script has its own name."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip() in ("sh", "bash", "dash")
    except OSError:
        return False


def members(mark: str, session: int | None = None, since_ticks: int = 0, group: Path | None = None) -> list[int]:
    """Pids of living processes with `mark` in their environment, in `session` or in the control group `group`. Zombies
    are excluded.

    `since_ticks`: start of the run, if known; older processes are excluded without reading their environment, which
    takes most of the time: about 10 µs for each older process of the machine, 30 µs for a younger one. Processes of
    other users cannot be inspected and are left out.
    """
    found = []
    grouped = set() if group is None else set(cgroup.pids(group))
    for pid in all_pids():
        fields = _stat(pid)
        if fields is None or fields[0] in (b"Z", b"X"):
            continue
        if int(fields[19]) < since_ticks:
            continue
        if pid in grouped or (session is not None and int(fields[3]) == session) or has_mark(pid, mark):
            found.append(pid)
    return found


def writers(folder: Path, since_ticks: int) -> list[int]:
    """Pids of other processes, not older than `since_ticks`, with a file below `folder` open for writing."""
    found = []
    for pid in all_pids():
        if pid != os.getpid() and (start_ticks(pid) or 0) >= max(1, since_ticks) and _writes(PROC / str(pid), folder):
            found.append(pid)
    return found


def _writes(process: Path, folder: Path) -> bool:
    try:
        for fd in (process / "fd").iterdir():
            if fd.readlink().is_relative_to(folder):
                flags = (process / "fdinfo" / fd.name).read_text().partition("flags:")[2].split()[0]
                if int(flags, 8) & os.O_ACCMODE:
                    return True
    except OSError:
        pass
    return False


def name(pid: int) -> str:
    """`4711 (python)`."""
    try:
        return f"{pid} ({(PROC / str(pid) / 'comm').read_text().strip()})"
    except OSError:
        return str(pid)


def send(pids: list[int], number: signal.Signals) -> list[int]:
    """Send a signal to each process. Returns the pids that it reached."""
    reached = []
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
        reached.append(pid)
    return reached


def kill_all(
    mark: str, session: int | None, spare: int | None = None, since_ticks: int = 0, group: Path | None = None
) -> list[int]:
    """SIGKILL every process of a run except `spare`, repeatedly until none is left. Returns the survivors, mostly none.

    Other arguments are those of `members`.
    """
    left: list[int] = []
    for _ in range(KILL_ROUNDS):
        left = [pid for pid in members(mark, session, since_ticks, group) if pid != spare]
        if not left:
            return []
        _await_deaths(send(left, signal.SIGKILL))
    return left


async def readable(fd: int) -> None:
    """Wait until `fd` is readable: a pidfd once its process has ended, a pipe once it has bytes or is closed."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/<pid>/stat from the third (state) on; None without the process."""
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    return text[text.rindex(b")") + 2 :].split()


def _await_deaths(pids: list[int]) -> None:
    """Wait until the killed processes have ended, at most 50 ms for each."""
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            select.select([fd], [], [], 0.05)
        finally:
            os.close(fd)
