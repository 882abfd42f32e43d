"""Shared by container and cluster runs: the wrapper, the claim that lets an attempt start only once, recorded ends."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from runners.protocol import Claim, Command, RunEnd, RunRequest, StartFailed
from taod import atomic_file, plain_file
from taod.paths import RunFolder
from taod.types.release import BASE

WRAPPER = "\n".join(
    line
    for line in (Path(__file__).parent / "guest.sh").read_text(encoding="utf-8").splitlines()
    if line and line.lstrip()[0] != "#"
)
"""The wrapper's text; its comments stay in the file."""
COMMAND = "TAOD_COMMAND"
"""Variable of the wrapper with the tool's command line, quoted for a shell."""
SIGNALLED = 128
"""Exit codes from here on mean an end by a signal."""
DAEMON = "daemon"
"""Content of a claim taken by the daemon, so that the attempt never starts. Other content names the run."""


def signalled(command: Command) -> str:
    """Which processes get SIGTERM first: `all`, or the launcher's `children`."""
    return "all" if command.release == BASE else "children"


def open_folder(request: RunRequest) -> None:
    """Create the run's folder and log. Raises StartFailed if the attempt is claimed or a file cannot be written."""
    run = request.run_folder
    if run.claim.exists():
        raise StartFailed(f"attempt {request.attempt} was claimed by another starter")
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        os.close(plain_file.descriptor(request.job_folder.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    except OSError as error:
        raise StartFailed(f"the run could not be started: {error}") from error


def log_line(request: RunRequest, text: str) -> None:
    """Append a line by taod to the job's log."""
    with os.fdopen(plain_file.descriptor(request.job_folder.log, os.O_WRONLY | os.O_APPEND), "a") as log:
        log.write(f"[taod] {text}\n")


def take_claim(run: RunFolder) -> bool:
    """Claim the attempt for the daemon, so that it never starts. Returns False if it is claimed already."""
    run.path.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(run.claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as claim:
        claim.write(f"{DAEMON}\n")
    return True


def claimant(run: RunFolder) -> str | None:
    """The owner of the claim: `DAEMON` or the run's own name; None if it is free."""
    try:
        return plain_file.read(run.claim, plain_file.SMALL).decode(errors="replace").strip()
    except FileNotFoundError:
        return None


def recorded_end(run: RunFolder) -> RunEnd | None:
    """The end recorded by `record_end`; None before."""
    try:
        return msgspec.json.decode(plain_file.read(run.path / "ended.json", plain_file.SMALL), type=RunEnd)
    except (OSError, ValueError, RecursionError):
        return None


def record_end(run: RunFolder, ended: RunEnd) -> RunEnd:
    """Record the end as reported by the engine or the cluster, which may drop it. Returns `ended`."""
    atomic_file.write(run.path / "ended.json", msgspec.json.encode(ended), durable=False)
    return ended


def claim_state(run: RunFolder) -> Claim:
    """State of a claimed attempt, from its folder."""
    if claimant(run) == DAEMON:
        return Claim.NEVER
    return Claim.ENDED if recorded_end(run) is not None or run.exit_code() is not None else Claim.LIVES
