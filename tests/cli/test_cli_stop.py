"""Stopping a daemon: its runs continue, end before it, or are cancelled."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from store import Store
from taod.paths import Root
from taod.types.state import State
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow(seconds=2)


def states(root: Path) -> dict[str, State]:
    store = Store.open(Root(root).database)
    jobs, _ = store.jobs.list()
    store.close()
    return {job.id: job.state for job in jobs}


@pytest.fixture
def running(daemon: Any) -> tuple[Any, str, str]:
    """A daemon whose one slot has a run that waits at the gate, and the id of that job and of a queued one."""
    first = daemon.id("model", "run", daemon.model("wait", name="first"), "train")
    second = daemon.id("model", "run", daemon.model(name="second"), "train")
    assert "starting" in daemon.first_output(first)
    return daemon, first, second


def test_a_second_daemon_does_not_start_and_a_killed_one_leaves_no_lock(
    daemon: Any, start: Callable[..., subprocess.Popen[str]]
) -> None:
    first = daemon.process
    train = daemon.id("model", "run", daemon.model("wait", name="alive"), "train")
    assert "starting" in daemon.first_output(train)
    second = daemon.process_run("serve", "--port", "0", cwd=daemon.root)
    error = " ".join(second.stderr.replace("│", " ").split())
    assert second.returncode == 1 and "Traceback" not in second.stderr
    assert f"is served by another daemon (pid {first.pid}, http://127.0.0.1:" in error
    assert f"`taod tui --root {daemon.root}` attaches to it" in error
    assert daemon.json("job", "show", train)["job"]["state"] == "running", "the first one is not touched"
    first.kill()
    first.wait(PATIENCE_S)
    # The run outlives the daemon and must not inherit its lock.
    daemon.process = start(daemon.root)
    daemon.open_gate()
    assert daemon.json("job", "wait", train)["state"] == "done"


@pytest.mark.slow
def test_drain_waits_for_the_run_and_cancel_all_ends_everything(
    running: tuple[Any, str, str], start: Callable[..., subprocess.Popen[str]]
) -> None:
    daemon, first, second = running
    assert "use one of them" in daemon.error("stop", "--drain", "--cancel-all", code=2)
    command = [sys.executable, "-m", "taod", "stop", "--drain", "--root", str(daemon.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as draining:
        assert draining.stdout is not None
        assert "no more jobs are started" in draining.stdout.readline()
        daemon.open_gate()
        assert "Its runs have ended." in draining.stdout.read()
        assert draining.wait(PATIENCE_S) == 0
    assert daemon.process.wait(PATIENCE_S) == 0
    assert (states(daemon.root)[first], states(daemon.root)[second]) == (State.DONE, State.QUEUED)

    daemon.process = start(daemon.root)
    daemon.json("job", "wait", second)
    third = daemon.id("model", "run", daemon.model("wait", name="third"), "train")
    fourth = daemon.id("model", "run", daemon.model(name="fourth"), "train")
    assert "starting" in daemon.first_output(third)
    assert "Its runs have ended." in daemon.process_run("stop", "--cancel-all", cwd=daemon.root).stdout
    assert daemon.process.wait(PATIENCE_S) == 0
    assert (states(daemon.root)[third], states(daemon.root)[fourth]) == (State.CANCELLED, State.CANCELLED)
