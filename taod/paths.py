"""Paths of all files and folders in a root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from taod import plain_file

_MOST_CODE = 255


@dataclass(frozen=True, slots=True)
class Root:
    """A daemon's root folder. Only this module joins path names to it."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "taod.db"

    @property
    def backups(self) -> Path:
        """Copies of the database."""
        return self.path / "backups"

    @property
    def daemon_file(self) -> Path:
        return self.path / "daemon.json"

    @property
    def lock_file(self) -> Path:
        return self.path / "daemon.lock"

    @property
    def log_file(self) -> Path:
        return self.path / "daemon.log"

    @property
    def datasets(self) -> Path:
        return self.path / "datasets"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def jobs(self) -> Path:
        return self.path / "jobs"

    @property
    def incoming(self) -> Path:
        """Uploads being received; on the same file system as `datasets`, cleaned at start."""
        return self.path / "incoming"

    @property
    def sending(self) -> Path:
        """Records of the processes that send notifications: `<delivery>`, locked while its process lives."""
        return self.path / "sending"

    @property
    def trackers(self) -> Path:
        """Locks of the processes that write runs to trackers: `<tracker>.lock`."""
        return self.path / "trackers"

    @property
    def reviews(self) -> Path:
        """Reports of dataset checks, and samples; all can be created again."""
        return self.path / "reviews"

    def review(self, dataset_id: str) -> Path:
        return self.reviews / dataset_id

    @property
    def tools(self) -> Path:
        """Environments of installed tools, unless `tools.folder` names another folder."""
        return self.path / "tools"

    @property
    def cache(self) -> Path:
        """Downloads shared by runs, unless `runner.cache` names another folder."""
        return self.path / "cache"

    @property
    def stray(self) -> Path:
        """Folder into which `taod doctor --fix` moves folders that belong to no resource."""
        return self.path / "stray"

    def dataset(self, dataset_id: str) -> Path:
        return self.datasets / dataset_id

    def job(self, job_id: str) -> JobFolder:
        return JobFolder(self.jobs / job_id)

    def make(self) -> None:
        """Create the folders, readable only by the owner."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.datasets, self.models, self.jobs, self.incoming, self.sending):
            folder.mkdir(exist_ok=True, mode=0o700)


@dataclass(frozen=True, slots=True)
class JobFolder:
    """`jobs/<id>/`: all files of one job, including its runs' records."""

    path: Path

    @property
    def results(self) -> Path:
        return self.path / "results"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def command(self) -> Path:
        return self.path / "command.json"

    def status_folder(self) -> Path:
        """Where the job's tool writes status.json: below its results, unless its command.json names another folder."""
        try:
            found = msgspec.json.decode(plain_file.read(self.command, plain_file.SMALL), type=_Command).status_folder
        except (OSError, ValueError, RecursionError):  # there is none, or the run has replaced it
            found = None
        return self.results if found is None else Path(found)

    def run(self, attempt: int) -> RunFolder:
        """The folder of one attempt; each start of the job, resumes included, has its own."""
        return RunFolder(self.path / "runs" / str(attempt))

    def spec(self, filename: str) -> Path:
        return self.path / filename


class _Command(msgspec.Struct):
    """What is read of a job's command.json."""

    status_folder: str | None = None


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`jobs/<id>/runs/<attempt>/`: claim, identity and end of one run."""

    path: Path

    def exit_code(self) -> int | None:
        """The exit code that the wrapper has recorded; None before, and if the run has replaced it."""
        try:
            text = plain_file.read(self.exit, plain_file.SMALL).decode()
            code = int(text) if text.endswith("\n") else -1
        except (FileNotFoundError, ValueError):
            return None
        return code if 0 <= code <= _MOST_CODE else None

    @property
    def claim(self) -> Path:
        """The file that an attempt's starter creates first, exclusively, so that an attempt starts only once."""
        return self.path / "claim"

    @property
    def pid(self) -> Path:
        """Written by the wrapper, atomically: its pid and its start time in clock ticks since boot."""
        return self.path / "pid"

    @property
    def memory(self) -> Path:
        """Data to detect an out-of-memory kill: the kernel's count of such kills at the start, and the run's control
        group, if any."""
        return self.path / "memory"

    @property
    def log_start(self) -> Path:
        """The size of the job's log when the attempt started, as text: later bytes are this attempt's."""
        return self.path / "log_start"

    @property
    def resumed_from(self) -> Path:
        """The epoch that the attempt resumed from, as text, if its tool counts epochs from 1 again."""
        return self.path / "resumed_from"

    @property
    def port(self) -> Path:
        """The TCP port that was reserved for the attempt."""
        return self.path / "port"

    @property
    def exit(self) -> Path:
        """Written by the wrapper, atomically: the exit code."""
        return self.path / "exit"
