"""Peers of the dispatch benchmark, measured in the same run: task-spooler, and a Slurm cluster of one node."""

from __future__ import annotations

import itertools
import os
import select
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.runners import engines

JOB = """echo $$ > {0}.pid; echo $EPOCHREALTIME > {0}.new; mv {0}.new {0}.began
{1}
echo $EPOCHREALTIME > {0}.new; mv {0}.new {0}.ended
"""
WAIT_S = 60.0


class Peer(ABC):
    """A queue with one slot, and a folder in which its jobs record their start and end."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0

    @abstractmethod
    def submit(self, script: Path) -> str:
        """Enqueue a bash script; returns its id in the queue."""

    @abstractmethod
    def cancel(self, job: str) -> None: ...

    def starts(self, count: int) -> list[float]:
        """Seconds from the submission of a job to its first line, with a free slot."""
        found = []
        for _ in range(count):
            at = time.time()
            number, _ = self._job()
            self._moment(number, "ended")
            found.append(self._moment(number, "began") - at)
        return found

    def gaps(self, count: int) -> list[float]:
        """Seconds from the last line of a job to the first line of the next queued job."""
        blocker, _ = self._job("sleep 1")
        numbers = [self._job()[0] for _ in range(count + 1)]
        self._moment(blocker, "ended")
        self._moment(numbers[-1], "ended")
        return [
            self._moment(after, "began") - self._moment(before, "ended")
            for before, after in itertools.pairwise(numbers)
        ]

    def cancels(self, count: int) -> list[float]:
        """Seconds from a cancel to the end of the process, which exits on SIGTERM."""
        found = []
        for _ in range(count):
            number, job = self._job("exec sleep 600")
            self._moment(number, "began")
            found.append(seconds_to_end(int(self._read(number, "pid")), lambda job=job: self.cancel(job)))
        return found

    def _job(self, work: str = ":") -> tuple[int, str]:
        self._number += 1
        script = self.folder / f"{self._number}.sh"
        script.write_text("#!/bin/bash\n" + JOB.format(self.folder / str(self._number), work))
        script.chmod(0o755)
        return self._number, self.submit(script)

    def _moment(self, number: int, name: str) -> float:
        """Wait for the file, because a peer's own wait may be slower than its job."""
        deadline = time.monotonic() + WAIT_S
        while not (self.folder / f"{number}.{name}").exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: job {number} has not {name}")
            time.sleep(0.002)
        return float(self._read(number, name))

    def _read(self, number: int, name: str) -> str:
        return (self.folder / f"{number}.{name}").read_text()


class TaskSpooler(Peer):
    """task-spooler: a queue in C without a store, an HTTP server or checks."""

    name = "task-spooler"

    def submit(self, script: Path) -> str:
        return self.spool("bash", str(script)).strip()

    def cancel(self, job: str) -> None:
        self.spool("-k", job)

    def spool(self, *words: str) -> str:
        environment = os.environ | {"TS_SOCKET": f"{self.folder}/socket", "TMPDIR": str(self.folder)}
        return subprocess.run(["tsp", *words], env=environment, capture_output=True, text=True, check=True).stdout


class Slurm(Peer):
    """`sbatch` and `scancel` on a real cluster of one node, which each job gets exclusively."""

    name = "Slurm"

    def __init__(self, folder: Path, cluster: engines.Cluster) -> None:
        super().__init__(folder)
        self._environment = cluster.environment

    def submit(self, script: Path) -> str:
        words = ["sbatch", "--parsable", "--exclusive", f"--output={script}.out", str(script)]
        done = subprocess.run(words, env=self._environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def cancel(self, job: str) -> None:
        subprocess.run(["scancel", job], env=self._environment, check=True)


@contextmanager
def peers() -> Iterator[list[Peer]]:
    """Yields the running peers that are installed."""
    found: list[Peer] = []
    with tempfile.TemporaryDirectory(prefix="taod-bench-") as name:
        folder = Path(name)
        if shutil.which("tsp"):
            (folder / "tsp").mkdir()
            found.append(TaskSpooler(folder / "tsp"))
        (folder / "slurm").mkdir()
        cluster = engines.cluster()
        try:
            found.append(Slurm(folder / "slurm", cluster.__enter__()))
        except pytest.skip.Exception as reason:
            print(f"(no Slurm on this machine: {reason})")
        try:
            yield found
        finally:
            for peer in found:
                if isinstance(peer, TaskSpooler):
                    peer.spool("-K")
                else:
                    cluster.__exit__(None, None, None)


def seconds_to_end(pid: int, ask: object) -> float:
    """Seconds from the call of `ask` to the end of the process."""
    descriptor = os.pidfd_open(pid)
    try:
        at = time.perf_counter()
        assert callable(ask)
        ask()
        if not select.select([descriptor], [], [], WAIT_S)[0]:
            raise RuntimeError(f"process {pid} does not end")
        return time.perf_counter() - at
    finally:
        os.close(descriptor)
