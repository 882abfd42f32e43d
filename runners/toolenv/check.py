"""Checks which entry points and actions of an environment can be used, by importing them in its own Python."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from runners.toolenv import child
from runners.toolenv.spec import Probe
from taod.clock import Clock, SystemClock, iso
from taod.errors import Unavailable
from taod.types.tool import ActionCheck, EntryPoint, Environment

PROBE = Path(__file__).parent / "layer" / "probe.py"


class _Started(msgspec.Struct, tag="started"):
    entry: str


class _Checked(msgspec.Struct, tag="checked"):
    entry: str
    actions: list[ActionCheck] = []
    reason: str = ""


def check(
    environment: Environment, probe: Probe, notify: Callable[[str], None], *, clock: Clock | None = None
) -> Environment:
    """The environment with the result of importing each entry point; `notify` gets an entry point's name before that.

    Raises Unavailable if its Python cannot be run.
    """
    clock = clock if clock is not None else SystemClock()
    found: list[EntryPoint] = []
    # Imports may print any amount, which would fill a pipe that is read only at the end.
    with tempfile.TemporaryFile() as printed:
        read, write = os.pipe()
        try:
            mode = "all" if probe.all_or_none else "each"
            words = [
                f"{environment.path}/bin/python",
                str(PROBE),
                environment.package,
                str(write),
                mode,
                *probe.preload,
            ]
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=printed,
                env=_variables(environment),
                pass_fds=[write],
                preexec_fn=child.ends_with(os.getpid()),
            )
        except OSError as error:
            os.close(read)
            raise Unavailable(f"{environment.name}: its Python cannot be run ({error}); install it again") from error
        finally:
            os.close(write)
        try:
            with os.fdopen(read, "rb") as lines:
                for line in lines:
                    each = msgspec.json.decode(line, type=_Started | _Checked)
                    if isinstance(each, _Started):
                        notify(each.entry)
                    else:
                        found.append(_entry(each, all_or_none=probe.all_or_none))
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
        if process.returncode != 0:
            printed.seek(0)
            complaint = printed.read().decode(errors="replace").strip()
            last = complaint.splitlines()[-1] if complaint else f"exit code {process.returncode}"
            raise Unavailable(f"{environment.name}: its entry points cannot be listed ({last}); install it again")
    return msgspec.structs.replace(environment, entry_points=found, checked_at=iso(clock.time()))


def _entry(each: _Checked, *, all_or_none: bool) -> EntryPoint:
    """`all_or_none`: the executable imports all of its actions for each of them, so the first failure affects all, and
    the probe did not try those after it."""
    failed = next((action for action in each.actions if action.reason), None)
    if failed is None or not all_or_none:
        return EntryPoint(each.entry, each.actions, each.reason)
    actions = [
        ActionCheck(action.name, False, f"{each.entry} imports {failed.name} for every action: {failed.reason}")
        if action is not failed
        else action
        for action in each.actions
    ]
    return EntryPoint(each.entry, actions, each.reason)


def _variables(environment: Environment) -> dict[str, str]:
    path = f"{environment.path}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return kept | {"TELEMETRY_OPT_OUT": "yes", "PATH": path, "VIRTUAL_ENV": environment.path} | environment.variables
