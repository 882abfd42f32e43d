"""The tools folder: lists environments, finds one for a run, and locks one for an installation.

An environment is created at its final path, because the scripts of a virtual environment contain its path. It is usable
only once it has `environment.json`, which is written last; until then the next installation resumes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from runners import processes
from runners.toolenv.spec import ToolSpecs, version
from taod import atomic_file
from taod.errors import Conflict, NotFound
from taod.types.tool import Consent, Environment, ToolState

MARKER = "environment.json"
PROGRESS = "install.json"
LOG = "install.log"
_LOCK_PATIENCE_S = 1.0
_LOOK_AGAIN_S = 0.05


class Progress(msgspec.Struct):
    """`install.json`: progress of an incomplete installation."""

    tool: str
    release: str
    package: str
    cpu: bool
    interpreter: str
    steps: int
    done: list[str] = []
    """Digests of the completed steps, in order; a step with the same digest is not run again."""
    notices: list[str] = []
    consent: Consent | None = None


class Environments:
    """The environments below one folder. Reading is cheap: files are read again only after a change."""

    def __init__(self, folder: Path, specs: ToolSpecs | None = None) -> None:
        """`specs`: the tools that can be installed; None: taod's own."""
        self.folder = folder
        self.specs = specs if specs is not None else ToolSpecs()
        self._seen: tuple[tuple[str, int], ...] = ()
        self._ready: list[Environment] = []

    def path(self, name: str) -> Path:
        return self.folder / name

    def all(self) -> list[Environment]:
        """Every environment, incomplete ones included, by name."""
        found = [self._read(path) for path in self._folders()]
        return sorted((each for each in found if each is not None), key=lambda each: each.name)

    def get(self, name: str) -> Environment:
        """One environment. Raises NotFound naming the existing ones."""
        found = self._read(self.path(name)) if name in {path.name for path in self._folders()} else None
        if found is None:
            names = ", ".join(each.name for each in self.all()) or "none"
            raise NotFound(f"tool environment {name!r} not found; installed: {names}")
        return found

    def ready(self) -> list[Environment]:
        """Environments that runs may use, in order of preference: newer releases first, GPU before CPU layer."""
        seen = tuple(sorted(self._stamps()))
        if seen != self._seen:
            found = [self._read(self.path(name)) for name, _ in seen]
            ready = [each for each in found if each is not None and each.state is ToolState.READY]
            self._ready = sorted(ready, key=lambda each: (version(each.release), not each.cpu), reverse=True)
            self._seen = seen
        return self._ready

    def find(self, entry: str, action: str, *, releases: Iterable[str] | None = None) -> Environment | None:
        """The preferred environment whose last check imported this action of the entry point; None without one.

        `releases`: prefixes of the allowed releases, such as `7` or `7.3`; None: any.
        """
        for each in self.ready():
            if each.offers(entry, action) and fits(each.release, releases):
                return each
        return None

    def write(self, environment: Environment) -> None:
        """Write `environment.json`: it makes an environment usable or records another check of it."""
        atomic_file.write(Path(environment.path) / MARKER, msgspec.json.format(msgspec.json.encode(environment)))

    def remove(self, name: str) -> None:
        """Remove an environment. Raises NotFound, and Conflict during its installation or while a process uses it."""
        environment = self.get(name)
        with self.lock(name):
            if users := processes_using(Path(environment.path)):
                many = ", ".join(map(str, users[:5]))
                raise Conflict(f"{name} is in use by process {many}; cancel or wait for the jobs that run with it")
            (self.path(name) / MARKER).unlink(missing_ok=True)
            gone = self.folder / f".{name}.removed"
            shutil.rmtree(gone, ignore_errors=True)
            self.path(name).rename(gone)
            shutil.rmtree(gone)

    @contextmanager
    def lock(self, name: str) -> Iterator[int]:
        """Lock an environment for changes; yields the descriptor that holds the lock. Raises Conflict.

        A child that inherits the descriptor keeps the lock after this process was killed.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.folder / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _locked(descriptor, _LOCK_PATIENCE_S):
                holder = os.pread(descriptor, 32, 0).decode().strip()
                raise Conflict(f"{name} is being installed by process {holder}; wait for it, or end that process")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def _folders(self) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        except FileNotFoundError:
            return []

    def _stamps(self) -> Iterator[tuple[str, int]]:
        try:
            for entry in os.scandir(self.folder):
                if not entry.name.startswith("."):
                    try:
                        yield entry.name, Path(entry.path, MARKER).stat().st_mtime_ns
                    except OSError:
                        continue
        except FileNotFoundError:
            return

    def _read(self, path: Path) -> Environment | None:
        try:
            return msgspec.json.decode((path / MARKER).read_bytes(), type=Environment)
        except (OSError, msgspec.DecodeError):
            pass
        try:
            progress = msgspec.json.decode((path / PROGRESS).read_bytes(), type=Progress)
        except (OSError, msgspec.DecodeError):
            return None
        return Environment(
            name=path.name,
            tool=progress.tool,
            release=progress.release,
            package=progress.package,
            path=str(path),
            state=ToolState.INSTALLING if self._is_locked(path.name) else ToolState.INCOMPLETE,
            cpu=progress.cpu,
            interpreter=progress.interpreter,
            steps_done=len(progress.done),
            steps=progress.steps,
            notices=progress.notices,
            consent=progress.consent,
        )

    def _is_locked(self, name: str) -> bool:
        try:
            descriptor = os.open(self.folder / f".{name}.lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return not _locked(descriptor, 0)
        finally:
            os.close(descriptor)


def fits(release: str, releases: Iterable[str] | None) -> bool:
    """Whether a release begins with one of `releases`, compared by parts: `7.3` fits `7.3.0`."""
    return releases is None or any(release == each or release.startswith(f"{each}.") for each in releases)


def processes_using(path: Path) -> list[int]:
    """Processes whose command line names a program or file of the environment."""
    mark = f"{path}/".encode()
    return sorted(
        pid
        for pid in processes.all_pids()
        if pid != os.getpid() and any(word.startswith(mark) for word in processes.command_line(pid).split(b"\0"))
    )


def _locked(descriptor: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_AGAIN_S)
