"""`python -m runners.toolenv`: installs or checks a tool for the daemon, in a process of its own.

Reads a Request as JSON on standard input and writes a ToolProgress as JSON on each line; the last one has `ended`.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from runners.toolenv.catalogue import check_again
from runners.toolenv.environments import Environments
from runners.toolenv.install import Installer
from runners.toolenv.spec import ToolSpecs
from taod.errors import TaodError
from taod.types.tool import Consent, ToolProgress


class Request(msgspec.Struct):
    """The environment and what to do with it."""

    folder: str
    specs: str | None
    """Folder of further specifications."""
    name: str
    """Name of the environment."""
    tool: str = ""
    """The tool to install; empty: check the environment."""
    release: str = ""
    cpu: bool = False
    consent: Consent | None = None
    python: str | None = None


def main() -> None:
    """Carry out the request on standard input."""
    signal.signal(signal.SIGTERM, _interrupt)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    environments = Environments(Path(request.folder), ToolSpecs(Path(request.specs) if request.specs else None))
    last = ToolProgress(request.name, 0, 0, "")

    def report(progress: ToolProgress) -> None:
        nonlocal last
        last = progress
        _write(progress)

    error = ""
    try:
        if request.tool:
            wanted = environments.specs.get(request.tool, request.release)
            installer = Installer(environments, wanted, cpu=request.cpu, report=report)
            installer.install(request.consent, python=request.python)
        else:
            check_again(environments, request.name, report)
    except (TaodError, OSError) as problem:
        error = str(problem)
    except KeyboardInterrupt:
        ready = any(each.name == request.name for each in environments.ready())
        error = "" if ready else "it was interrupted; the next installation resumes it"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _write(msgspec.structs.replace(last, ended=True, error=error))


def _write(progress: ToolProgress) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(progress) + b"\n")
    sys.stdout.buffer.flush()


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
