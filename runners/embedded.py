"""The embedded runner: runs taod's own engine of PyTorch networks, with the tools' command line."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import runners
from runners.environment import Rules, of_run, threads_per_slot
from runners.local import LocalRunner
from runners.protocol import Launch, RunRequest, StartFailed, Verdict
from taod.catalogue.commands.command import options
from taod.config import EmbeddedConfig
from taod.masking import is_secret

INSTALL = "install the engine: pip install 'taod[engine]'"


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
        self._threads = threads_per_slot(config.threads, cpu_slots)

    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
        from runners.engine import capabilities

        able, reason, remedy = capabilities.can(network, action, spec)
        if not able:
            return Verdict(False, reason, remedy)
        if self._python is None:
            return Verdict(False, f"there is no interpreter {self._chosen!r}", "correct runner.embedded.python")
        torch = network not in capabilities.WITHOUT_TORCH
        if torch and not self._chosen and importlib.util.find_spec("torch") is None:
            return Verdict(False, "PyTorch is not installed", INSTALL)
        return Verdict(True)

    def describe(self, request: RunRequest) -> Launch:
        if self._python is None:
            raise StartFailed(f"runner.embedded.python = {self._chosen!r}: there is no such interpreter")
        # The engine needs no key, and every account of the machine can read command lines.
        words = [*request.command.argv, *options(request.command.further)]
        words = [word for word in words if not is_secret(word)]
        environment: dict[str, str] = {}
        if not self._chosen and (path := _python_path()):
            environment["PYTHONPATH"] = path
        environment |= of_run(request, self.rules.extra, threads=self._threads)
        environment["TAOD_JOB_RESULTS"] = str(request.job_folder.results)
        return Launch([self._python, "-m", "runners.engine", *words], environment)


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
