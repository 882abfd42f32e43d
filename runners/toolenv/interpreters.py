"""Finds a CPython of a given version: on PATH, in the folders of version managers, or through uv."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from taod.errors import BadRequest

_ASK = """
import importlib.util, json, platform, sys
print(json.dumps({
    "path": sys.executable,
    "version": platform.python_version(),
    "implementation": platform.python_implementation(),
    "venv": bool(importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")),
    "modules": {name: bool(importlib.util.find_spec(name)) for name in sys.argv[1:]},
}))
"""
_ASK_LIMIT_S = 30
_UV_LIMIT_S = 600
_MANAGERS = (
    ("PYENV_ROOT", ".pyenv", "versions/*/bin"),
    ("ASDF_DATA_DIR", ".asdf", "installs/python/*/bin"),
    ("MISE_DATA_DIR", ".local/share/mise", "installs/python/*/bin"),
)
"""Of each version manager: variable with its folder, usual folder below home, and the pattern of Pythons in it."""


class Interpreter(msgspec.Struct, frozen=True):
    """What an interpreter reports about itself."""

    path: str
    version: str
    implementation: str
    venv: bool
    """Whether it has the modules `venv` and `ensurepip`."""
    modules: dict[str, bool] = {}

    @property
    def minor(self) -> str:
        """`3.12` of `3.12.1`."""
        return ".".join(self.version.split(".")[:2])


def ask(program: str, modules: list[str] | None = None) -> Interpreter | None:
    """The interpreter `program` as it reports itself, and whether it has these modules; None if it cannot be run."""
    try:
        done = subprocess.run(
            [str(Path(program).expanduser()), "-I", "-c", _ASK, *(modules or [])],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_ASK_LIMIT_S,
            check=True,
        )
        return msgspec.json.decode(done.stdout, type=Interpreter)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError):
        return None


def given(path: str, wanted: str, modules: list[str]) -> Interpreter:
    """The interpreter named by the user. Raises BadRequest with the cause if it cannot be used."""
    found = ask(path, modules)
    if found is None:
        raise BadRequest(f"--python {path}: it cannot be run as a Python; name an interpreter of CPython {wanted}")
    if why := obstacle(found, wanted, modules):
        raise BadRequest(f"--python {path}: {why}; name another interpreter, or leave the option out")
    return found


def search(wanted: str, modules: list[str], environ: Mapping[str, str] = os.environ) -> Interpreter:
    """The first usable CPython of version `wanted` (`3.12`) on this machine, else one installed by uv.

    Raises BadRequest that lists what was found and what to do.
    """
    rejected: list[str] = []
    for program in _candidates(wanted, environ):
        found = ask(program, modules)
        if found is None:
            continue
        why = obstacle(found, wanted, modules)
        if not why:
            return found
        if found.minor == wanted:
            rejected.append(f"{found.path} {why}")
    found = _through_uv(wanted, modules, environ)
    if found is not None:
        return found
    seen = f" ({'; '.join(dict.fromkeys(rejected))})" if rejected else ""
    raise BadRequest(
        f"no CPython {wanted} was found on PATH, in a version manager's folder or through uv{seen}; "
        f"install one (`uv python install {wanted}`, pyenv, or your distribution), or name it with --python PATH"
    )


def obstacle(found: Interpreter, wanted: str, modules: list[str]) -> str:
    """Why an interpreter cannot be used, or empty."""
    if found.implementation != "CPython" or found.minor != wanted:
        return f"is {found.implementation} {found.version}, and the tool needs CPython {wanted}"
    if not found.venv:
        return "has no venv and ensurepip modules (a package of the distribution, such as python3-venv)"
    missing = [name for name in modules if not found.modules.get(name)]
    if missing:
        return f"does not have {', '.join(missing)}, which the tool needs and cannot install"
    return ""


def _candidates(wanted: str, environ: Mapping[str, str]) -> Iterator[str]:
    names = (f"python{wanted}", "python3", "python")
    path = environ.get("PATH", os.defpath)
    for name in names:
        for folder in path.split(os.pathsep):
            program = shutil.which(name, path=folder) if folder else None
            if program is not None:
                yield program
    home = Path(environ.get("HOME", "~")).expanduser()
    for variable, usual, inside in _MANAGERS:
        root = Path(environ[variable]) if environ.get(variable) else home / usual
        for programs in sorted(root.glob(inside), reverse=True):
            if (programs / f"python{wanted}").exists():
                yield str(programs / f"python{wanted}")


def _through_uv(wanted: str, modules: list[str], environ: Mapping[str, str]) -> Interpreter | None:
    """An interpreter that uv finds or installs; None without uv or after a failure."""
    uv = shutil.which("uv", path=environ.get("PATH", os.defpath))
    if uv is None:
        return None
    for words in (["python", "find", wanted], ["python", "install", wanted], ["python", "find", wanted]):
        try:
            done = subprocess.run([uv, *words], capture_output=True, text=True, timeout=_UV_LIMIT_S, check=False)
        except (OSError, subprocess.SubprocessError):
            return None
        if words[1] == "find" and done.returncode == 0:
            found = ask(done.stdout.strip(), modules)
            if found is not None and not obstacle(found, wanted, modules):
                return found
    return None
