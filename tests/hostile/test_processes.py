"""Processes that hide from their run are found and ended; a key is on no wrapper's command line."""

# ruff: noqa: ASYNC240 - a test may block its own loop while it plays the outside world

from __future__ import annotations

import functools
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runners import cgroup, local, remote_wrapper
from runners.environment import Rules
from runners.protocol import Command, RunRequest
from runners.slurm import script as batch
from taod.config import SlurmConfig
from tests.runners.test_local import HIDE, ShellRunner, alive, appears, ended, python

KEY = "the-secret-key"
HIERARCHIES = {"version 2": "", "version 1, systemd's": "name=systemd", "version 1, memory": "memory"}
"""Of control groups → its controllers in /proc/PID/cgroup."""


@pytest.fixture(params=HIERARCHIES)
def hierarchy(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one hierarchy is there, and this account may create groups in it."""
    controllers = HIERARCHIES[request.param]
    lines = [line for line in cgroup.PROC_SELF.read_text().splitlines() if line.split(":")[1] == controllers]
    only = tmp_path / "cgroup"
    only.write_text("\n".join(lines))
    below_own = functools.partial(cgroup.below_own, own=only)
    if not lines or (probe := below_own("probe")) is None:
        pytest.skip(f"this account may create no group here in the hierarchy of {request.param}")
    cgroup.remove(probe)
    monkeypatch.setattr(cgroup, "below_own", below_own)


@pytest.mark.usefixtures("hierarchy")
@pytest.mark.parametrize("stopped", [False, True], ids=["at the end", "by a stop"])
async def test_one_that_hides_is_found_in_its_control_group(tmp_path: Path, stopped: bool) -> None:
    runner, request = ShellRunner(), python(tmp_path, HIDE + ("time.sleep(1000)" if stopped else ""))
    identity = await runner.start(request)
    away = int(await appears(tmp_path / "away"))
    if stopped:
        await runner.stop(identity, request, force=True)
    end = await ended(runner, identity, request)
    assert not alive(away) and end.left == []


async def test_one_that_hides_is_found_in_the_scope_of_systemd(
    manager: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", manager["XDG_RUNTIME_DIR"])
    found = cgroup.available_method(systemd=tmp_path, root=False)
    assert "--user" in found.systemd
    monkeypatch.setattr(cgroup, "available_method", lambda: found)
    runner, request = ShellRunner(), python(tmp_path, HIDE)
    request = RunRequest(request.job_id, 1, request.command, request.folder, memory_bytes=1 << 30)
    identity = await runner.start(request)
    away = int(await appears(tmp_path / "away"))
    group = cgroup.scope_of(away, local._group_name(request))
    assert group is not None and away in cgroup.pids(group)
    end = await ended(runner, identity, request)
    assert not alive(away) and end.left == []


async def test_without_a_group_the_survivor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "below_own", lambda name: None)
    runner, request = ShellRunner(), python(tmp_path, HIDE)
    identity = await runner.start(request)
    end = await ended(runner, identity, request)
    away = int((tmp_path / "away").read_text())
    try:
        assert end.exit_code == 0 and any(str(away) in each for each in end.left)
    finally:
        os.kill(away, signal.SIGKILL)


TOOL = "touch ready; while [ ! -e go ]; do sleep 0.01; done; env >environment; echo $1 >given; exit 7"


def request_of(folder: Path) -> RunRequest:
    command = Command("net", "train", ["/bin/sh", "-c", TOOL, "tool", f"--key={KEY}"], image="")
    made = RunRequest("0" * 8, 1, command, str(folder))
    made.run_folder.path.mkdir(parents=True)
    return made


def of_a_container(request: RunRequest) -> subprocess.Popen[bytes]:
    run, log = str(request.run_folder.path), str(request.job_folder.log)
    environment = os.environ | {remote_wrapper.COMMAND: shlex.join(request.command.argv_with_following())}
    words = ["/bin/sh", "-c", remote_wrapper.WRAPPER, "taod-run", run, log, "run", "children"]
    return subprocess.Popen(words, env=environment, cwd=request.folder)


def of_a_cluster(request: RunRequest) -> subprocess.Popen[bytes]:
    path = request.run_folder.path / "job.sh"
    path.write_text(batch.script(request, SlurmConfig(), Rules()))
    environment = os.environ | {"SLURM_JOB_ID": "1"}
    return subprocess.Popen(["/bin/sh", str(path)], env=environment, cwd=request.folder)


def of_this_machine(request: RunRequest) -> subprocess.Popen[bytes]:
    reading, writing = os.pipe()
    environment = os.environ | {"TAOD_COMMAND": shlex.join(request.command.argv_with_following())}
    words = ["/bin/sh", "-c", local.WRAPPER, "taod-run", str(request.run_folder.path)]
    try:
        return subprocess.Popen(words, env=environment, cwd=request.folder, stdin=writing)
    finally:
        os.close(reading)
        os.close(writing)


WRAPPERS: dict[str, Callable[[RunRequest], subprocess.Popen[bytes]]] = {
    "container": of_a_container,
    "cluster": of_a_cluster,
    "local": of_this_machine,
}


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for each in started:
        each.kill()
        each.wait()


@pytest.mark.parametrize("name", WRAPPERS)
async def test_a_wrapper_does_not_show_the_key(
    tmp_path: Path, children: list[subprocess.Popen[bytes]], name: str
) -> None:
    """The tool takes it on its own command line, but the wrapper gets that in its environment, and passes it on to no
    one."""
    request = request_of(tmp_path)
    wrapper = WRAPPERS[name](request)
    children.append(wrapper)
    await appears(tmp_path / "ready")
    shown = Path(f"/proc/{wrapper.pid}/cmdline").read_bytes()
    assert b"taod-run" in shown and KEY.encode() not in shown
    (tmp_path / "go").touch()
    assert wrapper.wait(60) in (7, 0)
    assert (tmp_path / "given").read_text() == f"--key={KEY}\n"
    assert KEY not in (tmp_path / "environment").read_text()
    assert request.run_folder.exit.read_text().strip() == "7"


def test_what_a_shell_would_expand_reaches_the_tool_as_it_is(tmp_path: Path) -> None:
    words = ["a b", "$HOME", "`id`", "'", '"', "\\", "*", "a\nb", ";", "&", "", "-e", "ü", "\x1b[2J"]
    tool = [sys.executable, "-c", "import sys, json; json.dump(sys.argv[1:], open('given', 'w'))", *words]
    request = RunRequest("0" * 8, 1, Command("net", "train", tool, image=""), str(tmp_path))
    request.run_folder.path.mkdir(parents=True)
    for start in WRAPPERS.values():
        request.run_folder.claim.unlink(missing_ok=True)
        assert start(request).wait(60) == 0
        assert json.loads((tmp_path / "given").read_text()) == words
        (tmp_path / "given").unlink()


def test_a_group_that_another_daemon_removes_meanwhile_has_no_processes(tmp_path: Path) -> None:
    """Of two that wait for one run, the first to see its end removes the group."""
    group = tmp_path / "gone"
    assert cgroup.pids(group) == []
    (group / "below").mkdir(parents=True)
    (group / "below" / "cgroup.procs").write_text("7\n8\n")
    assert cgroup.pids(group) == [7, 8]
