"""Runs as processes of this machine: started under a shell wrapper, re-adopted after a crash, stopped completely.

Base of the embedded and the native runner, which differ only in command line and environment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import msgspec

from runners import cgroup, ports, processes
from runners.environment import Rules, inherited
from runners.protocol import Claim, Launch, RunEnd, RunIdentity, RunRequest, StartFailed, Verdict
from taod import atomic_file, plain_file
from taod.paths import RunFolder
from taod.types.release import BASE

SHELL = "/bin/sh"
WRAPPER = "\n".join(
    line
    for line in (Path(__file__).parent / "wrapper.sh").read_text(encoding="utf-8").splitlines()
    if line and line[0] != "#"
)
"""The wrapper's text; its comments stay in the file."""
START_LIMIT_S = 30.0
"""Time limit for a wrapper to write its pid file; after it (a file system that hangs) the wrapper is killed."""
EXEC_LIMIT_S = 5.0
"""Time limit for a stop to wait for a tool that the wrapper is about to execute."""
POLL_S = 0.002
MIB = 1024**2
KILLED = 128 + signal.SIGKILL

log = logging.getLogger(__name__)


class LocalRunner(ABC):
    """A runner whose runs are local processes. Subclasses provide the command line and the environment."""

    name: str

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        """Wrappers started by this daemon and not yet reaped."""

    @abstractmethod
    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict: ...

    @abstractmethod
    def describe(self, request: RunRequest) -> Launch:
        """The launch of a request: absolute program, arguments, and the variables that taod sets.

        Raises StartFailed if the program is missing.
        """

    def inherited(self) -> dict[str, str]:
        """The part of the daemon's environment that a run gets."""
        return inherited(self.rules.inherit)

    async def start(self, request: RunRequest) -> RunIdentity:
        launch = self.describe(request)
        run = request.run_folder
        started, end = os.pipe()
        try:
            try:
                child = self._spawn(launch, request, end)
            finally:
                os.close(end)
            self._children[child.pid] = child
            # The pipe ends when the pid file is written, or when the wrapper has ended.
            try:
                # Not `wait_for`: in Python 3.11 it loses a cancellation that comes as the pipe ends.
                async with asyncio.timeout(START_LIMIT_S):
                    await processes.readable(started)
            except TimeoutError:
                child.kill()
        finally:
            os.close(started)
        found = _read_pid(run)
        if found is not None and found[0] == child.pid:
            _note_scope(request, child.pid)
            return RunIdentity(runner=self.name, pid=child.pid, start_ticks=found[1])
        raise StartFailed(await self._start_failure(child, request))

    async def recover(self, request: RunRequest) -> tuple[Claim, RunIdentity | None]:
        run = request.run_folder
        run.path.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(run.claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            pass
        else:
            return Claim.NEVER, None
        found = await self._pid_of_claimed(run, request.mark)
        if found is None:
            # The wrapper died between claim and pid file: the tool was never reached.
            return Claim.NEVER, None
        identity = RunIdentity(runner=self.name, pid=found[0], start_ticks=found[1])
        return (Claim.LIVES if _lives(identity, request) else Claim.ENDED), identity

    async def wait(self, identity: RunIdentity, request: RunRequest) -> RunEnd:
        session = await self._until_gone(identity, request)
        since, group = identity.start_ticks or 0, _group(request)
        left = await asyncio.to_thread(processes.kill_all, request.mark, session, since_ticks=since, group=group)
        if group is None:
            left += await asyncio.to_thread(processes.writers, request.job_folder.path, since)
        child = self._children.pop(identity.pid or 0, None)
        if child is not None:
            child.poll()
        ended = _ended(request)
        return msgspec.structs.replace(ended, left=[processes.name(pid) for pid in left]) if left else ended

    async def stop(self, identity: RunIdentity, request: RunRequest, *, force: bool) -> None:
        mark, group = request.mark, _group(request)
        number = signal.SIGKILL if force else signal.SIGTERM
        loop = asyncio.get_running_loop()
        deadline = loop.time() + EXEC_LIMIT_S
        while loop.time() < deadline:
            wrapper = identity.pid if _lives(identity, request) else None
            members = await asyncio.to_thread(processes.members, mark, wrapper, identity.start_ticks or 0, group)
            shell = processes.command_line(wrapper) if wrapper else b""
            # A fork of the shell that has not executed the tool yet would lose a SIGTERM in the shell's trap.
            tool = [pid for pid in members if pid != wrapper and processes.command_line(pid) != shell]
            if not force and request.command.release != BASE:
                tool = processes.started_by(tool)
            reached = processes.send(tool, number)
            # A stopped process does not handle SIGTERM, and a stopped wrapper cannot record the end.
            processes.send(members, signal.SIGCONT)
            if force and reached:
                await asyncio.to_thread(processes.kill_all, mark, wrapper, wrapper, 0, group)
            if reached or wrapper is None:
                return
            await asyncio.sleep(POLL_S)

    def _spawn(self, launch: Launch, request: RunRequest, end: int) -> subprocess.Popen[bytes]:
        try:
            request.run_folder.path.mkdir(parents=True, exist_ok=True)
            before, group = self._bound(request)
            port = ports.reserve()
            port.record(request.run_folder.port)
            ports.write_to_spec(request.command, port.number)
            out = plain_file.descriptor(request.job_folder.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                return subprocess.Popen(
                    [*before, SHELL, "-c", WRAPPER, "taod-run", str(request.run_folder.path)],
                    cwd=request.folder,
                    env=self.inherited()
                    | ports.environment(port.number)
                    | launch.environment
                    | dict([request.mark.split("=", 1)])
                    | group
                    | {"TAOD_COMMAND": shlex.join(launch.argv)},
                    stdin=end,
                    stdout=out,
                    stderr=out,
                    pass_fds=[port.fileno()],
                    start_new_session=True,
                )
            finally:
                os.close(out)
                # from here on the run's own processes hold the port
                port.close()
        except OSError as error:
            raise StartFailed(f"the run could not be started: {error}") from error

    def memory_limit_unavailable(self) -> str:
        """Why a run's memory cannot be limited here; empty if it can."""
        return cgroup.available_method().unavailable

    def _bound(self, request: RunRequest) -> tuple[list[str], dict[str, str]]:
        """The run's control group: words before its command, and entries of its environment. Noted in its folder."""
        words, name = list[str](), _group_name(request)
        if request.memory_bytes:
            found = cgroup.available_method()
            group = cgroup.create(found, name, request.memory_bytes)
            words = cgroup.systemd_words(found, name, request.memory_bytes)
        else:
            group = cgroup.below_own(name)
        note = _Memory(cgroup.machine_kills(), None if group is None else str(group), request.memory_bytes)
        atomic_file.write(request.run_folder.memory, msgspec.json.encode(note), durable=False)
        limited = {cgroup.LIMITED: "1"} if request.memory_bytes else {}
        return words, {} if note.group is None else {cgroup.VARIABLE: note.group, **limited}

    async def _start_failure(self, child: subprocess.Popen[bytes], request: RunRequest) -> str:
        await asyncio.to_thread(child.wait)
        self._children.pop(child.pid, None)
        if child.returncode == 81:
            return f"attempt {request.attempt} was claimed by another starter"
        if child.returncode == 83:
            return "the run could not enter the control group that limits its memory (supervision.memory_bytes)"
        if child.returncode == 82:
            return f"{request.run_folder.pid} could not be written: is the disk full?"
        return f"the wrapper of the run ended with {child.returncode} before it had started anything"

    async def _pid_of_claimed(self, run: RunFolder, mark: str) -> tuple[int, int] | None:
        """The pid file of a claimed attempt; None once no process lives that could write it."""
        deadline = asyncio.get_running_loop().time() + START_LIMIT_S
        while (found := _read_pid(run)) is None:
            if not await asyncio.to_thread(processes.members, mark):
                # Read once more: it may have been written, and its run ended, in between.
                return _read_pid(run)
            if asyncio.get_running_loop().time() > deadline:
                await asyncio.to_thread(processes.kill_all, mark, None)
            await asyncio.sleep(POLL_S)
        return found

    async def _until_gone(self, identity: RunIdentity, request: RunRequest) -> int | None:
        """Wait for the wrapper's end. Returns its session id if it was seen alive, so that the id cannot be
        another's."""
        if identity.pid is None:
            return None
        try:
            fd = os.pidfd_open(identity.pid)
        except OSError:
            return None
        try:
            # The descriptor refers to this process; the check after opening it excludes a reused pid.
            if identity.pid not in self._children and not _lives(identity, request):
                return None
            await processes.readable(fd)
        finally:
            os.close(fd)
        return identity.pid


class _Memory(msgspec.Struct, frozen=True):
    """State before a run starts, by which its end for lack of memory is detected."""

    kills: int | None = None
    """Number of the kernel's out-of-memory kills on the whole machine."""
    group: str | None = None
    limit: int = 0


def _ended(request: RunRequest) -> RunEnd:
    """The exit code, and for a SIGKILL or an unrecorded end whether it was an out-of-memory kill. Removes the control
    group."""
    code, note = request.run_folder.exit_code(), _read_memory(request)
    words = _killed(note) if code in (None, KILLED) else ""
    if note.group is not None:
        cgroup.remove(Path(note.group))
    return RunEnd(code, words, out_of_memory=bool(words))


def _killed(note: _Memory) -> str:
    """Message about out-of-memory kills since the run started; empty without any."""
    if note.group is not None and note.limit and cgroup.kills(Path(note.group)):
        return f"killed for its memory: more than the {note.limit / MIB:.0f} MiB of supervision.memory_bytes"
    now = cgroup.machine_kills()
    if note.kills is not None and now is not None and now > note.kills:
        return "killed: the machine was out of memory"
    return ""


def _group_name(request: RunRequest) -> str:
    return f"{request.job_id}-{request.attempt}"


def _note_scope(request: RunRequest, pid: int) -> None:
    """Record the control group that systemd created for the run."""
    note = _read_memory(request)
    if note.group is None and (scope := cgroup.scope_of(pid, _group_name(request))) is not None:
        note = msgspec.structs.replace(note, group=str(scope))
        atomic_file.write(request.run_folder.memory, msgspec.json.encode(note), durable=False)


def _group(request: RunRequest) -> Path | None:
    group = _read_memory(request).group
    return None if group is None else Path(group)


def _read_memory(request: RunRequest) -> _Memory:
    """The note, whose group is the run's own, whatever the run has written there."""
    try:
        found = msgspec.json.decode(plain_file.read(request.run_folder.memory, plain_file.SMALL), type=_Memory)
    except (OSError, ValueError, RecursionError):
        return _Memory()
    own = _group_name(request)
    if found.group is None or (
        found.group.startswith("/") and own in Path(found.group).name and ".." not in found.group
    ):
        return found
    return msgspec.structs.replace(found, group=None)


def _lives(identity: RunIdentity, request: RunRequest) -> bool:
    """Whether the wrapper still runs: same pid, start time and mark (the first two may repeat after a reboot)."""
    return (
        identity.pid is not None
        and processes.start_ticks(identity.pid) == identity.start_ticks
        and processes.has_mark(identity.pid, request.mark)
    )


def _read_pid(run: RunFolder) -> tuple[int, int] | None:
    """Pid and start time written by the wrapper; None before it has written the whole line."""
    try:
        text = plain_file.read(run.pid, plain_file.SMALL).decode()
        pid, start = text.split()
        return (int(pid), int(start)) if text.endswith("\n") and int(pid) <= processes.MOST_PID else None
    except (FileNotFoundError, ValueError):
        return None
