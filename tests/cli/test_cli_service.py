"""`taod serve --detach`, and `taod service` under a real systemd user manager."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from taod.client.errors import NoDaemon
from taod.client.find import find, serving
from tests.patience import PATIENCE_S
from tests.user_manager import wait

pytestmark = pytest.mark.slow(seconds=3)

TAOD = [sys.executable, "-m", "taod"]


def taod(*words: str, code: int = 0, **environment: str) -> str:
    """The output of a command, as one text."""
    done = subprocess.run(
        [*TAOD, *words],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=PATIENCE_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).replace("│", " ").split())


def test_a_service_is_installed_restarted_after_a_kill_and_removed(manager: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "a root of 100%"
    settings = tmp_path / "taod.toml"
    settings.write_text("[server]\nport = 0\n[devices]\ngpus = false\n")
    assert "does not exist" in taod("service", "status", code=1, **manager)
    shown = taod("service", "install", "--root", str(root), "--config", str(settings), **manager)
    assert "is installed and running" in shown and "journalctl --user -u taod.service" in shown

    def served() -> int:
        try:
            return serving(root).pid
        except NoDaemon:
            return 0

    wait(served, "the service does not serve")
    first = served()
    assert f"taod.service is active (running), pid {first}, since " in taod("service", "status", **manager)
    os.kill(first, signal.SIGKILL)
    wait(lambda: served() not in (0, first), "the killed daemon was not started again")
    assert taod("service", "remove", **manager).endswith("is removed.")
    wait(lambda: not served(), "the daemon outlived its service")
    assert not (tmp_path / "config/systemd/user/taod.service").exists()


def test_the_unit_is_one_that_systemd_accepts(manager: dict[str, str], tmp_path: Path) -> None:
    text = subprocess.run(
        [*TAOD, "service", "install", "--print", "--drain", "--root", str(tmp_path / 'a "root" $HOME %h')],
        capture_output=True, text=True, env=os.environ | manager, check=True,
    ).stdout  # fmt: skip
    assert "KillSignal=SIGUSR1" in text and '\\"root\\" $$HOME %%h"' in text
    unit = tmp_path / "taod.service"
    unit.write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)],
        capture_output=True, text=True, env=os.environ | manager, check=False,
    )  # fmt: skip
    assert verified.returncode == 0 and "taod.service" not in verified.stderr, verified.stderr


def test_a_service_without_systemd_names_the_other_way(tmp_path: Path) -> None:
    said = taod(
        "service", "install", code=1, XDG_RUNTIME_DIR=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), PATH="/nowhere"
    )
    assert "use `taod serve --detach`" in said or "start the daemon with `taod serve --detach`" in said


def test_a_detached_daemon_serves_when_the_command_returns_and_reports_why_it_does_not(tmp_path: Path) -> None:
    options = ["--root", str(tmp_path / "root"), "--port", "0"]
    said = taod("serve", "--detach", *options)
    info = find(tmp_path / "root", None, None)
    try:
        assert said.startswith("taod ") and info.url in said
        daemon = psutil.Process(info.pid)
        assert daemon.terminal() is None and os.getsid(info.pid) == info.pid
        again = taod("serve", "--detach", *options, code=1)
        assert f"is served by another daemon (pid {info.pid}" in again
    finally:
        taod("stop", "--root", str(tmp_path / "root"))


def test_the_dashboard_offers_to_start_a_daemon(tmp_path: Path) -> None:
    """In a terminal; in a script it is an error."""
    root, settings = tmp_path / "root", {"TAOD_SERVER_PORT": "0", "TAOD_ROOT": str(tmp_path / "root"), "TERM": "xterm"}
    assert "no daemon serves" in taod("tui", code=3, **settings)
    outer, inner = os.openpty()
    dashboard = subprocess.Popen(
        [*TAOD, "tui"], stdin=inner, stdout=inner, stderr=inner, env=os.environ | settings, start_new_session=True
    )
    os.close(inner)
    seen = b""
    try:
        while b"Start a daemon in the background?" not in seen:
            seen += os.read(outer, 4096)
        os.write(outer, b"\r")
        while b"\x1b[?1049h" not in seen:  # the dashboard takes the whole screen
            seen += os.read(outer, 4096)
        assert find(root, None, None).root == str(root)
    finally:
        dashboard.kill()
        dashboard.wait()
        os.close(outer)
        taod("stop", "--root", str(root))
