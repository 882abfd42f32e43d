"""Runs in a container or a cluster job: their wrapper, the claim that lets an attempt start once, how it ended."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from runners.protocol import Claim, Command, Ended, RunRequest, StartFailed
from taod import plain_file
from taod.paths import RunFolder
from taod.types.release import BASE

WRAPPER = "\n".join(
    line
    for line in (Path(__file__).parent / "guest.sh").read_text(encoding="utf-8").splitlines()
    if line and line.lstrip()[0] != "#"
)
"""The wrapper's text; its comments stay in the file."""
SIGNALLED = 128
"""From here on an exit code is a signal's."""
DAEMON = "daemon"
"""In a claim: the daemon has it, so the attempt never starts. Anything else names the run that has it."""


def signalled(command: Command) -> str:
    """Which processes get a SIGTERM first: `all`, or what the launcher has started (`children`)."""
    return "all" if command.release == BASE else "children"


def open_folder(request: RunRequest) -> None:
    """Create the run's folder and log. Raises StartFailed where the attempt is claimed or cannot be written."""
    run = request.run_folder
    if run.claim.exists():
        raise StartFailed(f"attempt {request.attempt} was claimed by another starter")
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        os.close(plain_file.descriptor(request.job_folder.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    except OSError as error:
        raise StartFailed(f"the run could not be started: {error}") from error


def log_line(request: RunRequest, text: str) -> None:
    """Append a line of taod to the job's log."""
    with os.fdopen(plain_file.descriptor(request.job_folder.log, os.O_WRONLY | os.O_APPEND), "a") as log:
        log.write(f"[taod] {text}\n")


def take_claim(run: RunFolder) -> bool:
    """Claim the attempt for the daemon, so that it never starts; False where it is claimed already."""
    run.path.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(run.claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as claim:
        claim.write(f"{DAEMON}\n")
    return True


def claimant(run: RunFolder) -> str | None:
    """Who has the claim: `DAEMON`, or the run as it calls itself; None where it is free."""
    try:
        return plain_file.read(run.claim).decode().strip()
    except FileNotFoundError:
        return None


def exit_code(run: RunFolder) -> int | None:
    """The exit code that the wrapper recorded; None before."""
    try:
        text = plain_file.read(run.exit).decode()
    except FileNotFoundError:
        return None
    return int(text) if text.endswith("\n") else None


def recorded_end(run: RunFolder) -> Ended | None:
    """The end that `record_end` has recorded; None before."""
    try:
        return msgspec.json.decode(plain_file.read(run.path / "ended.json"), type=Ended)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def record_end(run: RunFolder, ended: Ended) -> Ended:
    """Record how the engine or the cluster reports the end, before it forgets."""
    aside = run.path / ".ended.json"
    aside.write_bytes(msgspec.json.encode(ended))
    aside.replace(run.path / "ended.json")
    return ended


def claim_state(run: RunFolder) -> Claim:
    """Whether a claimed attempt was started and has ended, by its folder."""
    if claimant(run) == DAEMON:
        return Claim.NEVER
    return Claim.ENDED if recorded_end(run) is not None or exit_code(run) is not None else Claim.LIVES
