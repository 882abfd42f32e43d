"""The embedded runner: runs taod's own engine of PyTorch networks, with the tools' command line."""

from __future__ import annotations

import os
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import runners
from runners.environment import Rules, of_run, threads_per_slot
from runners.local import LocalRunner
from runners.protocol import Launch, RunRequest, StartFailed, Verdict
from runners.toolenv import interpreters
from taod import program
from taod.catalogue.commands.command import options
from taod.config import EmbeddedConfig
from taod.masking import is_secret

OWN = "runners"
"""The package of taod that a run needs."""
DRIVER = Path("/proc/driver/nvidia")
KNOWN_S = 60.0
"""Seconds that the modules of a configured interpreter are known for."""


class Embedded(LocalRunner):
    """Runs `python -m runners.engine <network> <action> …`.

    The engine declares its capabilities as data; nothing here imports torch.
    """

    name = "embedded"
    uses_shell = False

    def __init__(self, config: EmbeddedConfig | None = None, rules: Rules | None = None, *, cpu_slots: int = 1) -> None:
        super().__init__(rules)
        config = config or EmbeddedConfig()
        self._chosen = config.python
        self._python = _program(config.python) if config.python else sys.executable
        self._modules: tuple[float, set[str]] = (0.0, set())
        """When a configured interpreter was asked for its modules, and those that it has."""
        self._threads = threads_per_slot(config.threads, cpu_slots)

    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
        from runners.engine import capabilities

        if self._python is None:
            return Verdict(False, f"there is no interpreter {self._chosen!r}", "correct runner.embedded.python")
        able, reason, remedy = capabilities.can(network, action, spec, python=self._chosen, has=self._has)
        # The tools of the other runners are large, and of little use without a GPU.
        near = not able and not DRIVER.exists() and capabilities.offered(network, action)
        return Verdict(able, reason, remedy, near)

    def missing(self) -> list[str]:
        """What some action of the engine needs and the interpreter of runs lacks."""
        from runners.engine import capabilities

        return [module for module in sorted(capabilities.MODULES) if not self._has(module)]

    def _has(self, module: str) -> bool:
        """Whether the interpreter of runs has a module; one that is configured must have taod, too."""
        from runners.engine import capabilities

        if not self._chosen:
            return find_spec(module) is not None
        asked, found = self._modules
        if self._python is not None and (not asked or time.monotonic() - asked > KNOWN_S):
            answer = interpreters.ask(self._python, sorted({OWN, *capabilities.MODULES}))
            found = {name for name, there in answer.modules.items() if there} if answer is not None else set()
            self._modules = time.monotonic(), found
        return {OWN, module} <= self._modules[1]

    def describe(self, request: RunRequest) -> Launch:
        if self._python is None:
            raise StartFailed(f"runner.embedded.python = {self._chosen!r}: there is no such interpreter")
        # The engine needs no key, and every account of the machine can read command lines.
        words = [*request.command.argv, *options(request.command.further)]
        words = [word for word in words if not is_secret(word)]
        environment: dict[str, str] = {}
        if not self._chosen and not program.FROZEN and (path := _python_path()):
            environment["PYTHONPATH"] = path
        environment |= of_run(request, self.rules.extra, threads=self._threads)
        environment["TAOD_JOB_RESULTS"] = str(request.job_folder.results)
        engine = [self._python, "-m", "runners.engine"] if self._chosen else program.module("runners.engine")
        return Launch([*engine, *words], environment)


def _program(name: str) -> str | None:
    """The absolute path of a program, with links unresolved: a virtual environment's Python is a link."""
    found = shutil.which(str(Path(name).expanduser()))
    return None if found is None else str(Path(found).absolute())


def _python_path() -> str:
    """The daemon's module search path without its installed packages."""
    return os.pathsep.join(filter(None, [_source_folder(), os.environ.get("PYTHONPATH", "")]))


def _source_folder() -> str | None:
    """The source tree of this package, if it runs from one: runs start in another folder."""
    folder = Path(runners.__file__ or "").absolute().parent.parent
    return None if folder.name in ("site-packages", "dist-packages") else str(folder)
