"""The runner protocol: what the scheduler asks of anything that can start, watch and stop a run.

A runner knows commands, processes and the job's folder. It knows nothing of the queue, the store or HTTP.
"""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from runners.processes import run_mark
from taod.paths import JobFolder, RunFolder
from taod.types.release import BASE


class DeviceGrant(msgspec.Struct, frozen=True):
    """One device that a run may use. `id` is the GPU's UUID, or `cpu:N`."""

    id: str
    kind: str
    index: int


class Command(msgspec.Struct, frozen=True):
    """The tool's own command line, as the catalogue assembles it: `argv[0]` is the entry point (the network)."""

    network: str
    action: str
    argv: list[str]
    image: str
    """Kind of container image: `tlt-tf1`, `tlt-tf2`, `tlt-pytorch`, `tao-deploy`, `tao-ds`."""
    environment: dict[str, str] = {}
    reads: list[str] = []
    """Folders and files that the run reads (datasets, parents' results, weights): what a container mounts."""
    writes: list[str] = []
    """Folders outside the job's own that the run writes to: a dataset that is converted."""
    secrets: list[str] = []
    """Keys that are masked where the run's log names them; the rest is masked by position: `taod.masking`."""
    gpus: int = 0
    """How many GPUs the command line and the spec ask for; a cluster is asked for as many."""
    release: str = BASE
    """The release of the tools that the command line is of."""
    then: list[list[str]] = []
    """Further command lines of the same run, each started after the one before has exited with 0."""

    def words(self, program: str | None = None) -> list[str]:
        """What is executed: `argv`, or a shell that runs it and each of `then`; `program` replaces `argv[0]`."""
        first = self.argv if program is None else [program, *self.argv[1:]]
        if not self.then:
            return first
        return ["/bin/sh", "-c", " && ".join(shlex.join(line) for line in [first, *self.then])]


class RunRequest(msgspec.Struct, frozen=True):
    """One attempt at a job, ready to start."""

    job_id: str
    attempt: int
    command: Command
    folder: str
    """The job's folder; the run's log is `log.txt` in it, appended to."""
    devices: list[DeviceGrant] = []
    memory_bytes: int = 0
    """What all its processes may use together; 0: no limit."""

    @property
    def mark(self) -> str:
        """The environment entry of the run's processes."""
        return run_mark(self.job_id, self.attempt)

    @property
    def job_folder(self) -> JobFolder:
        return JobFolder(Path(self.folder))

    @property
    def run_folder(self) -> RunFolder:
        return self.job_folder.run(self.attempt)


class Launch(msgspec.Struct, frozen=True):
    """What a runner executes for a request, for the record. May hold secrets: mask before showing."""

    argv: list[str]
    environment: dict[str, str] = {}
    """Only what taod sets."""


class RunIdentity(msgspec.Struct, frozen=True):
    """Who a run is, in a form that outlives the daemon; kept in the store.

    For a process: the wrapper's pid and its start time in clock ticks since boot, which together are never reused.
    `handle` is for runners whose runs are no local process (a container's or a cluster job's id).
    """

    runner: str
    pid: int | None = None
    start_ticks: int | None = None
    handle: str | None = None


class Ended(msgspec.Struct, frozen=True):
    """How a run ended. `exit_code` is None where it was not recorded (the wrapper itself was killed,
    the machine lost power)."""

    exit_code: int | None
    message: str = ""
    """What the runner knows beyond the code (`out of memory`), or empty."""
    out_of_memory: bool = False
    """Whether it was killed for its use of memory, as far as the runner knows."""
    left: list[str] = []
    """Processes of the run that still live (`4711 (python)`)."""


class Claim(StrEnum):
    """What is found of an attempt that was being started when the daemon died."""

    LIVES = "lives"
    ENDED = "ended"
    NEVER = "never"
    """It was not started, and now never will be: its claim is taken."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether a runner can do an action; if not, why, and what would change it."""

    can: bool
    reason: str = ""
    remedy: str = ""


class StartFailed(Exception):
    """The run could not be started; the text says why and what to do. Nothing is left running."""


class Runner(Protocol):
    """One way to run a tool. All methods are safe to call again."""

    name: str

    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
        """Whether it can do this here. Without `spec`: in general. Fast, and without heavy imports."""
        ...

    def describe(self, request: RunRequest) -> Launch:
        """What `start` would execute. Raises StartFailed where that is unknown (a missing program)."""
        ...

    async def start(self, request: RunRequest) -> RunIdentity:
        """Start the run in a session of its own, outliving the daemon; return once it is known to live.

        Raises StartFailed. It may be cancelled (an image's download takes its time): `recover` settles what it left.
        """
        ...

    async def recover(self, request: RunRequest) -> tuple[Claim, RunIdentity | None]:
        """After a crash between claim and record: settle whether the attempt was started, once and for all."""
        ...

    async def wait(self, identity: RunIdentity, request: RunRequest) -> Ended:
        """Wait, without polling, until the run has ended: for an own run and for an adopted one alike."""
        ...

    async def stop(self, identity: RunIdentity, request: RunRequest, *, force: bool) -> None:
        """Ask every process of the run to end (SIGTERM), or make them (`force`: SIGKILL). Returns at once;
        `wait` returns when it has ended."""
        ...


@runtime_checkable
class OffHost(Protocol):
    """Off-host runner attributes: its runs hold no device of this machine, but slots of a cluster.

    They are limited by a count alone, and each is given as many GPUs as its command asks for.
    """

    name: str
    slots: int
    """So many runs at once; further ones wait in the daemon's queue."""
    gpus: int
    """The most GPUs that one run can have."""


CLUSTER = "cluster:"


def place_of(runner: Runner | OffHost) -> str:
    """Where its runs are: empty for this machine's devices, else the id of the device whose slots they hold."""
    return f"{CLUSTER}{runner.name}" if isinstance(runner, OffHost) else ""


@runtime_checkable
class OfReleases(Protocol):
    """The attribute of a runner whose tools may be of releases other than 5.0."""

    def can_release(self, network: str, action: str, release: str) -> Verdict:
        """Whether its tool for the action is of that release."""
        ...


def can_release(runner: Runner, network: str, action: str, release: str) -> Verdict:
    """Whether the runner's tool for the action is of that release; one that does not say is of 5.0."""
    if isinstance(runner, OfReleases):
        return runner.can_release(network, action, release)
    if release == BASE:
        return Verdict(True)
    return Verdict(False, f"its tools are of release {BASE}, and the model is of release {release}")


@runtime_checkable
class WithSecrets(Protocol):
    """The attribute of a runner whose runs get secrets that are masked wherever their log is shown."""

    def secrets(self, network: str, action: str) -> list[str]:
        """The values of those that can be read now."""
        ...


def uses_shell(runner: Runner) -> bool:
    """Whether its tools may hand their command line to a shell unquoted, as NVIDIA's entry points do.

    So it is unless the runner has an attribute `uses_shell` that is false: its tools are its own.
    """
    return bool(getattr(runner, "uses_shell", True))
