"""Installs a tool: checks preconditions, runs the steps of its specification, checks its entry points.

Each finished step is recorded, so that an installation continues where an interrupted one ended.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from importlib.metadata import distributions
from importlib.resources.abc import Traversable
from itertools import takewhile
from pathlib import Path

import msgspec

from runners.toolenv import interpreters, own_modules, pip
from runners.toolenv.check import check
from runners.toolenv.environments import LOG, PROGRESS, Environments, Progress
from runners.toolenv.interpreters import Interpreter
from runners.toolenv.machine import Machine, examine
from runners.toolenv.preconditions import notices, obstacle
from runners.toolenv.spec import Step, ToolSpec
from taod import atomic_file
from taod.clock import Clock, SystemClock, iso
from taod.errors import BadRequest, TaodError
from taod.types.tool import Consent, Environment, ToolProgress, ToolState

Report = Callable[[ToolProgress], None]
CREATE, CHECK = "virtual environment", "check"
"""Titles of the first and the last step of every tool."""


class InstallFailed(TaodError):
    """A step failed; the text names the step, the cause and the log. The next installation resumes at this step."""


class Installer:
    """Installs one tool into its environment below a tools folder."""

    def __init__(
        self,
        environments: Environments,
        spec: ToolSpec,
        *,
        cpu: bool,
        report: Report,
        machine: Callable[[Path], Machine] = examine,
        environ: Mapping[str, str] = os.environ,
        clock: Clock | None = None,
    ) -> None:
        self._environments = environments
        self._spec = spec
        self._cpu = cpu
        self._report = report
        self._machine = machine
        self._environ = environ
        self._clock = clock if clock is not None else SystemClock()
        self._name = spec.name(cpu=cpu)
        self._path = environments.path(self._name)
        self._steps = spec.steps(cpu=cpu)
        self._titles = [CREATE, *(step.title for step in self._steps), CHECK]
        self._loaded = 0
        self._began = self._clock.monotonic()

    def install(self, consent: Consent | None, *, python: str | None = None) -> Environment:
        """Install the tool or resume its installation. Returns the environment; a complete one is returned unchanged.

        Raises BadRequest, NoSpace or Conflict before any change, InstallFailed if a step fails.
        """
        existing = next((each for each in self._environments.all() if each.name == self._name), None)
        if existing is not None and existing.state is ToolState.READY:
            return existing
        consent, machine = self.check_before(consent, python)
        with self._environments.lock(self._name) as lock:
            progress = self._begin(consent, python, machine)
            site = own_modules.site_packages(self._path)
            pip.repair(site)
            self._loaded = 0
            for number, step in enumerate(self._steps, start=2):
                if number > len(progress.done):
                    self._notify(number, step.title)
                    self._run(number, step, progress, machine, lock)
                    self._done(progress, self._digest(step))
            own_modules.add(self._path, self._spec, cpu=self._cpu)
            return self._finish(progress, site)

    def check_before(self, consent: Consent | None, python: str | None) -> tuple[Consent, Machine]:
        """Check that the tool can be installed. Changes nothing. Returns consent and machine; raises as `install`."""
        if consent is None:
            licence = self._spec.licence
            raise BadRequest(
                f"the licence of {self._spec.package} ({licence.name}) was not accepted, so it is not installed; "
                "read it and repeat with --accept-license (accept_license over HTTP)"
            )
        machine = self._machine(self._environments.folder)
        self._check_room(machine)
        if self._resumable(python) is None:
            self._interpreter(python)
        return consent, machine

    def _interpreter(self, python: str | None) -> Interpreter:
        spec = self._spec
        if python:
            return interpreters.given(python, spec.python, spec.needs_modules)
        return interpreters.search(spec.python, spec.needs_modules, self._environ)

    def _begin(self, consent: Consent, python: str | None, machine: Machine) -> Progress:
        """The record of an installation to resume, or of a new one, whose virtual environment is created."""
        old = self._resumable(python)
        if old is not None:
            old.consent = consent
            return old
        spec = self._spec
        found = self._interpreter(python)
        shutil.rmtree(self._path, ignore_errors=True)
        self._path.mkdir(mode=0o700, parents=True)
        progress = Progress(
            tool=spec.tool,
            release=spec.release,
            package=spec.package,
            cpu=self._cpu,
            interpreter=found.path,
            steps=len(self._titles),
            notices=notices(spec, machine, cpu=self._cpu),
            consent=consent,
        )
        self._save(progress)
        self._notify(1, CREATE, f"Python {found.version} at {found.path}")
        self._create(found)
        self._done(progress, CREATE)
        return progress

    def _resumable(self, python: str | None) -> Progress | None:
        """The record of an earlier installation that can be resumed, cut at the first step that has changed since."""
        try:
            old = msgspec.json.decode((self._path / PROGRESS).read_bytes(), type=Progress)
        except (OSError, msgspec.DecodeError):
            return None
        digests = [CREATE, *map(self._digest, self._steps)]
        same = old.done[:1] == [CREATE]
        matching = takewhile(lambda pair: pair[0] == pair[1], zip(old.done, digests, strict=False))
        old.done, old.steps = [digest for digest, _ in matching], len(self._titles)
        if python is not None:
            found = interpreters.ask(python)
            same = same and found is not None and found.path == old.interpreter
        return old if same and self._pip_works() else None

    def _pip_works(self) -> bool:
        """Whether pip runs; it does not if it was killed while it upgraded itself."""
        try:
            words = [self._python, "-m", "pip", "--version"]
            return subprocess.run(words, capture_output=True, check=False).returncode == 0
        except OSError:
            return False

    def _create(self, found: Interpreter) -> None:
        words = [found.path, "-m", "venv", str(self._path)]
        if self._spec.needs_modules:
            words.append("--system-site-packages")
        try:
            pip.run(words, self._path / LOG, self._environ, lambda line: None)
        except pip.PipFailed as error:
            raise self._failed(CREATE, str(error)) from error

    def _run(self, number: int, step: Step, progress: Progress, machine: Machine, lock: int) -> None:
        if step.cpu and (self._cpu or not machine.gpus):
            try:
                self._pip(number, step, step.cpu, lock)
                return
            except pip.PipFailed as error:
                if not error.no_build:
                    raise self._failed(step.title, str(error)) from error
            self._check_room(self._machine(self._environments.folder), cuda=True)
            note = f"the configured package index has no CPU build ({step.cpu[0]}): the CUDA build was installed"
            progress.notices.append(note)
            self._notify(number, step.title, note)
        try:
            self._pip(number, step, step.packages, lock)
        except pip.PipFailed as error:
            if not step.optional:
                raise self._failed(step.title, str(error)) from error
            progress.notices.append(f"without {step.title}, which could not be installed ({error})")

    def _pip(self, number: int, step: Step, packages: list[str], lock: int) -> None:
        words = [self._python, "-m", "pip", "install", *step.options, *packages]
        if step.file:
            listed = self._path / step.file
            listed.write_bytes((self._lists() / step.file).read_bytes())
            words += ["-r", str(listed)]

        def notify(line: pip.Line) -> None:
            self._loaded += line.loaded_bytes
            self._notify(number, step.title, line.detail)

        pip.run(words, self._path / LOG, self._environ, notify, keep=[lock])

    def _finish(self, progress: Progress, site: Path) -> Environment:
        now = iso(self._clock.time())
        environment = Environment(
            name=self._name,
            tool=self._spec.tool,
            release=self._spec.release,
            package=self._spec.package,
            path=str(self._path),
            state=ToolState.READY,
            cpu=self._cpu,
            python=site.parent.name.removeprefix("python"),
            interpreter=progress.interpreter,
            steps_done=len(self._titles),
            steps=len(self._titles),
            packages=dict(sorted((each.name, each.version) for each in distributions(path=[str(site)]))),
            consent=progress.consent,
            notices=list(progress.notices),
            variables=self._spec.environment,
            installed_at=now,
            size_bytes=_size(self._path),
        )
        found = interpreters.ask(self._python)
        if found is not None:
            environment = msgspec.structs.replace(environment, python=found.version)
        last = len(self._titles)
        checked = check(
            environment, self._spec.probe, lambda entry: self._notify(last, CHECK, entry), clock=self._clock
        )
        if not any(action.ok for entry in checked.entry_points for action in entry.actions):
            reasons = [
                each.reason or each.actions[0].reason for each in checked.entry_points if each.reason or each.actions
            ]
            why = reasons[0] if reasons else f"{self._spec.package} has no entry points"
            raise self._failed(CHECK, f"no action can be imported: {why}")
        self._environments.write(checked)
        (self._path / PROGRESS).unlink(missing_ok=True)
        return checked

    def _check_room(self, machine: Machine, *, cuda: bool = False) -> None:
        done = _size(self._path)
        why = obstacle(self._spec, machine, cpu=self._cpu, cuda_builds=cuda or bool(machine.gpus), done_bytes=done)
        if why is not None:
            raise why

    def _failed(self, title: str, why: str) -> InstallFailed:
        return InstallFailed(
            f"{self._name}: step {self._titles.index(title) + 1} ({title}) failed: {why}\n"
            f"{self._path / LOG} has the whole output; the same command resumes at this step"
        )

    def _lists(self) -> Traversable:
        return self._environments.specs.lists(self._spec)

    def _digest(self, step: Step) -> str:
        listed = (self._lists() / step.file).read_bytes() if step.file else b""
        return hashlib.sha256(msgspec.json.encode(step) + listed).hexdigest()

    def _done(self, progress: Progress, digest: str) -> None:
        progress.done.append(digest)
        self._save(progress)

    def _save(self, progress: Progress) -> None:
        atomic_file.write(self._path / PROGRESS, msgspec.json.encode(progress))

    def _notify(self, number: int, title: str, detail: str = "") -> None:
        self._report(
            ToolProgress(
                name=self._name,
                step=number,
                steps=len(self._titles),
                title=title,
                detail=detail,
                loaded_bytes=self._loaded,
                elapsed_s=self._clock.monotonic() - self._began,
            )
        )

    @property
    def _python(self) -> str:
        return str(self._path / "bin" / "python")


def consent_of_this_user(spec: ToolSpec, clock: Clock | None = None) -> Consent:
    """The record of this user's consent to the tool's licence, now."""
    clock = clock if clock is not None else SystemClock()
    return Consent(spec.licence.name, iso(clock.time()), getpass.getuser())


def _size(folder: Path) -> int:
    """Disk space of a folder's files in bytes; symbolic links and hard links to shared files count at most once."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                found = Path(parent, name).lstat()
            except OSError:
                continue
            total += found.st_blocks * 512 // found.st_nlink
    return total
