"""The runner protocol: how the scheduler starts, watches and stops runs.

A runner handles commands, processes and the job's folder. It does not know the queue, the store or HTTP.
"""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from runners.processes import run_mark
from taod.documents import Document
from taod.paths import JobFolder, RunFolder
from taod.types.release import BASE


class DeviceGrant(msgspec.Struct, frozen=True):
    """One device that a run may use. `id` is the GPU's UUID, or `cpu:N`."""

    id: str
    kind: str
    index: int


class Command(msgspec.Struct, frozen=True):
    """The tool's command line, assembled by the catalogue; `argv[0]` is the entry point (the network)."""

    network: str
    action: str
    argv: list[str]
    image: str
    """Kind of container image: `tlt-tf1`, `tlt-tf2`, `tlt-pytorch`, `tao-deploy`, `tao-ds`."""
    environment: dict[str, str] = {}
    reads: list[str] = []
    """Folders and files that the run reads (datasets, parents' results, weights); a container mounts them."""
    writes: list[str] = []
    """Folders outside the job's folder that the run writes to: the dataset of a conversion."""
    secrets: list[str] = []
    """Keys to mask in the run's log after their names (`taod.masking.log`)."""
    gpus: int = 0
    """Number of GPUs in the command line and the spec; a cluster job requests as many."""
    release: str = BASE
    """The release of the tools that the command line is for."""
    then: list[list[str]] = []
    """Further command lines of the same run, each started after the previous one exited with 0."""
    further: Document = {}
    """Parameters beyond the tool's own command line, which only taod's engine takes."""

    def argv_with_following(self, program: str | None = None) -> list[str]:
        """The words to execute: `argv`, or a shell that runs it and each of `then`; `program` replaces `argv[0]`."""
        first = self.argv if program is None else [program, *self.argv[1:]]
        if not self.then:
            return first
        return ["/bin/sh", "-c", " && ".join(shlex.join(line) for line in [first, *self.then])]


class RunRequest(msgspec.Struct, frozen=True):
    """One attempt of a job, ready to start."""

    job_id: str
    attempt: int
    command: Command
    folder: str
    """The job's folder; the run's log is `log.txt` in it, appended to."""
    devices: list[DeviceGrant] = []
    memory_bytes: int = 0
    """Memory limit of all its processes together; 0: no limit."""

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
    """What a runner executes for a request, for display. May contain secrets: mask them before showing it."""

    argv: list[str]
    environment: dict[str, str] = {}
    """Only variables set by taod."""


class RunIdentity(msgspec.Struct, frozen=True):
    """Identity of a run that stays valid after the daemon's end; kept in the store.

    For a process: the wrapper's pid and its start time in clock ticks since boot, which together are never reused.
    `handle` is for runs that are not local processes: a container's or a cluster job's id.
    """

    runner: str
    pid: int | None = None
    start_ticks: int | None = None
    handle: str | None = None


class RunEnd(msgspec.Struct, frozen=True):
    """How a run ended. `exit_code` is None if it was not recorded (the wrapper was killed, the machine lost power)."""

    exit_code: int | None
    message: str = ""
    """The runner's explanation of the end (`out of memory`), or empty."""
    out_of_memory: bool = False
    """Whether it was killed for lack of memory, as far as the runner knows."""
    left: list[str] = []
    """Processes that outlived the run (`4711 (python)`)."""


class Claim(StrEnum):
    """State of an attempt whose start was interrupted by the daemon's death."""

    LIVES = "lives"
    ENDED = "ended"
    NEVER = "never"
    """It was not started and cannot start any more: the daemon took its claim."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether a runner can run an action; if not, the reason and the remedy."""

    can: bool
    reason: str = ""
    remedy: str = ""
    near: bool = False
    """Whether the remedy is the simplest one on this machine."""


class StartFailed(Exception):
    """The run could not be started; the text has the reason and the remedy. No process is left running."""


class Runner(Protocol):
    """One way to run a tool. All methods are idempotent."""

    name: str

    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
        """Whether it can run this action here; `spec` None: with any specification. Fast, without heavy imports."""
        ...

    def describe(self, request: RunRequest) -> Launch:
        """What `start` would execute. Raises StartFailed if that is unknown (a missing program)."""
        ...

    async def start(self, request: RunRequest) -> RunIdentity:
        """Start the run in its own session, so that it outlives the daemon. Returns once it is known to live.

        Raises StartFailed. It may be cancelled (an image's download takes long): call `recover` afterwards.
        """
        ...

    async def recover(self, request: RunRequest) -> tuple[Claim, RunIdentity | None]:
        """After a crash between claim and record: decide finally whether the attempt was started. Returns its identity
        if it was."""
        ...

    async def wait(self, identity: RunIdentity, request: RunRequest) -> RunEnd:
        """Wait until the run has ended, whether started by this daemon or re-adopted."""
        ...

    async def stop(self, identity: RunIdentity, request: RunRequest, *, force: bool) -> None:
        """Send SIGTERM, or with `force` SIGKILL, to every process of the run. Returns at once; `wait` returns when the
        run has ended."""
        ...


@runtime_checkable
class OffHostRunner(Protocol):
    """Attributes of an off-host runner, whose runs lease slots of a cluster instead of devices of this machine.

    Only their number is limited; each gets as many GPUs as its command requests.
    """

    name: str
    slots: int
    """Most runs at once; further ones wait in the daemon's queue."""
    gpus: int
    """Most GPUs of one run."""


CLUSTER = "cluster:"


def place_of(runner: Runner | OffHostRunner) -> str:
    """Where a runner's runs execute: empty for this machine's devices, else the id of the cluster's device."""
    return f"{CLUSTER}{runner.name}" if isinstance(runner, OffHostRunner) else ""


@runtime_checkable
class ReleaseAware(Protocol):
    """Optional method of a runner with tools of releases other than 5.0."""

    def can_release(self, network: str, action: str, release: str) -> Verdict:
        """Whether its tool for the action belongs to that release."""
        ...


def can_release(runner: Runner, network: str, action: str, release: str) -> Verdict:
    """Whether the runner's tool for the action belongs to a release; a runner without `can_release` has 5.0."""
    if isinstance(runner, ReleaseAware):
        return runner.can_release(network, action, release)
    if release == BASE:
        return Verdict(True)
    return Verdict(False, f"its tools are of release {BASE}, and the model is of release {release}")


@runtime_checkable
class WithSecrets(Protocol):
    """Optional method of a runner whose runs get secrets, which are masked in their logs."""

    def secrets(self, network: str, action: str) -> list[str]:
        """The values of the secrets that can be read now."""
        ...


def uses_shell(runner: Runner) -> bool:
    """Whether a runner's tools may pass their command line to a shell unquoted, as NVIDIA's entry points do.

    True unless the runner has a false attribute `uses_shell`.
    """
    return bool(getattr(runner, "uses_shell", True))
