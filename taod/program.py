"""How taod starts itself: its modules as processes of their own, and the file that starts it again.

The executable of `make binary` has no Python beside it; it accepts `-m MODULE` as Python does.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import taod

FROZEN: bool = getattr(sys, "frozen", False)
"""Whether this is the executable of `make binary`."""
FILE = "TAOD_PROGRAM"
"""Variable with the file of the executable, which starts the program that it has unpacked in another folder."""

_HOME = str(Path(taod.__file__).parents[1])
_ISOLATED = f"""
import sys
sys.path.append({_HOME!r})
from runpy import run_module
run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def module(name: str, *words: str) -> list[str]:
    """The command line that runs a module of taod."""
    return [sys.executable, "-m", name, *words]


def isolated(name: str) -> list[str]:
    """The same without PYTHONPATH, which commands of users would inherit, and without modules of the current folder."""
    return module(name) if FROZEN else [sys.executable, "-P", "-c", _ISOLATED, name]


def environment() -> dict[str, str]:
    """The environment in which `module` finds taod, whatever the current folder is."""
    if FROZEN:
        return dict(os.environ)
    paths = [_HOME, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def durable(*words: str) -> list[str]:
    """The command line of `taod WORDS` that stays valid when a new version replaces this one."""
    return [_file(), *words] if FROZEN else module("taod", *words)


def typed() -> str:
    """What the user types to call taod from this folder."""
    path = Path(_file() if FROZEN else sys.argv[0])
    return "taod" if shutil.which("taod") or path.name != "taod" else str(path)


def _file() -> str:
    return os.environ.get(FILE) or sys.executable
