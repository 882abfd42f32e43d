"""Processes as Linux shows them: permanent identity, members of a run, and the end of one."""

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
KILL_ROUNDS = 50
"""Rounds of killing before a process that forks faster than that is reported."""


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
    """When the process started, in clock ticks since boot; None when there is no such process, or only its zombie."""
    fields = _stat(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    return int(fields[19])


def age_s(ticks: int) -> float:
    """Seconds since a process started, of which the start time in clock ticks since boot is known; never negative.

    Of the clock that counts from boot: setting the wall clock does not change it.
    """
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def is_stopped(pid: int) -> bool:
    """Whether a signal (SIGSTOP, SIGTSTP) holds the process, so that it does nothing until SIGCONT."""
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
    """The arguments, each ended by a zero byte; empty when it cannot be read."""
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
    """Of a launcher and what it started, the processes that it started itself; the launcher where it has none yet.

    The launchers of release 7.3 die of a SIGTERM at once and take the training along; the training alone saves a
    checkpoint, and its launcher ends with it. Shells before and between them are no launchers.
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
    """By its name: that of a script is the script's own."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip() in ("sh", "bash", "dash")
    except OSError:
        return False


def members(mark: str, session: int | None = None, since_ticks: int = 0, group: Path | None = None) -> list[int]:
    """Living processes that carry `mark` in their environment, or belong to `session` or the control group `group`; a
    zombie is not living.

    `since_ticks`: when the run began, where that is known; processes older than it are not its own, and their
    environment, which takes most of the time, is not read. Takes some 10 µs for an older process of the machine, 30 µs
    for a younger one. Processes of other users cannot be inspected and are left out.
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
    """Other processes, not older than `since_ticks`, that have a file below `folder` open for writing."""
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
    """Send a signal to each; return those that it reached."""
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
    """SIGKILL every process of a run but `spare`, again until none is left; return those that remain (none, mostly).

    The run's processes are found as `members` finds them.
    """
    left: list[int] = []
    for _ in range(KILL_ROUNDS):
        left = [pid for pid in members(mark, session, since_ticks, group) if pid != spare]
        if not left:
            return []
        _await_deaths(send(left, signal.SIGKILL))
    return left


async def readable(fd: int) -> None:
    """Wait until `fd` can be read: a pidfd when its process has ended, a pipe when it has bytes or was closed."""
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
    """The fields of stat from the third (state) on."""
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    return text[text.rindex(b")") + 2 :].split()


def _await_deaths(pids: list[int]) -> None:
    """Wait, 50 ms at most for each, until the killed processes are gone."""
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            select.select([fd], [], [], 0.05)
        finally:
            os.close(fd)
