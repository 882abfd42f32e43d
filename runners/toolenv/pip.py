"""Runs pip in an environment: reads its progress, writes a log, and repairs interrupted installations."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from runners.toolenv import child

_UNITS = {"bytes": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_LOADED = re.compile(
    r"^\s*(?:Downloading|Using cached|Processing) (\S+?)(?:\.metadata)?(?: \(([\d.]+) (bytes|kB|MB|GB)\))?$"
)
_COLLECTING = re.compile(r"^Collecting (\S+)")
_BUILDING = re.compile(r"^\s*Building wheel for (\S+)")
_INSTALLING = re.compile(r"^Installing collected packages: (.*)$")
_ERROR = re.compile(r"^\s*(?:ERROR|error): (.*)$")
_NO_BUILD = re.compile(r"no matching distribution|ResolutionImpossible", re.IGNORECASE)
"""Texts of a missing build; older versions of pip report it as a conflict with the user's constraints."""
_FOREIGN = frozenset(
    {"PIP_PREFIX", "PIP_REQUIREMENT", "PIP_ROOT", "PIP_TARGET", "PIP_USER", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"}
)
"""Variables that would make pip install to, or import from, another place."""
_SET = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_PROGRESS_BAR": "off",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUNBUFFERED": "1",
}


class Line(msgspec.Struct, frozen=True):
    """Progress or error in one line of pip's output."""

    detail: str = ""
    """The current package, or a step with many."""
    loaded_bytes: int = 0
    error: str = ""


class PipFailed(Exception):
    """pip ended with an error; `str(error)` is its cause in one line."""

    def __init__(self, cause: str, *, no_build: bool = False) -> None:
        """`no_build`: a requirement has no distribution in the configured indexes for this Python and machine."""
        super().__init__(cause)
        self.no_build = no_build


def parse(line: str) -> Line | None:
    """Progress or an error in a line of pip's output; None for others."""
    if found := _LOADED.match(line):
        name = found[1].rsplit("/", 1)[-1]
        size = round(float(found[2]) * _UNITS[found[3]]) if found[2] and ".metadata" not in line else 0
        return Line(detail=name, loaded_bytes=size)
    if found := _COLLECTING.match(line):
        return Line(detail=found[1])
    if found := _BUILDING.match(line):
        return Line(detail=f"building {found[1]}")
    if found := _INSTALLING.match(line):
        count = len(found[1].split(", "))
        return Line(detail=f"installing {count} package{'s' if count > 1 else ''}")
    if found := _ERROR.match(line):
        return Line(error=found[1])
    return None


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """pip's environment: the caller's with its index settings, without variables that change its target."""
    return {name: value for name, value in environ.items() if name not in _FOREIGN} | _SET


def run(
    words: Sequence[str],
    log: Path,
    environ: Mapping[str, str],
    notify: Callable[[Line], None],
    *,
    keep: Sequence[int] = (),
) -> None:
    """Run a command that ends with this process; appends its output to `log`. Raises PipFailed.

    `keep`: descriptors that the command inherits, so that a lock lasts as long as the command.
    """
    errors: list[str] = []
    no_build = False
    with log.open("ab") as file:
        file.write(f"$ {' '.join(words)}\n".encode())
        file.flush()
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(environ),
            pass_fds=tuple(keep),
            preexec_fn=child.ends_with(os.getpid()),
        )
        assert process.stdout is not None
        try:
            for raw in process.stdout:
                file.write(raw)
                file.flush()
                text = raw.decode(errors="replace").rstrip()
                no_build = no_build or _NO_BUILD.search(text) is not None
                line = parse(text)
                if line is not None and line.error:
                    errors.append(line.error)
                elif line is not None:
                    notify(line)
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if code != 0:
        missing = next((each for each in errors if each.startswith("No matching")), None)
        cause = missing or (errors[0] if errors else f"pip ended with exit code {code}")
        raise PipFailed(cause, no_build=no_build)


def repair(site: Path) -> None:
    """Remove incomplete packages, so that pip installs again what it was installing when it was killed.

    pip writes INSTALLER and RECORD after all files of a package: without them a package is incomplete.
    """
    for folder in site.glob("*.dist-info"):
        if not (folder / "INSTALLER").exists() or not (folder / "RECORD").exists():
            shutil.rmtree(folder)
    for folder in site.glob("~*"):
        shutil.rmtree(folder, ignore_errors=True)
