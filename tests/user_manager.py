"""A systemd user manager that serves one test, where this account may start one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runners import cgroup
from tests.patience import PATIENCE_S

MANAGER = Path("/lib/systemd/systemd")
IN_NAMESPACE = f"""
set -e
for top in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
  if [ -e $top/cgroup.procs ]; then mkdir $top/$GROUP; echo $$ > $top/$GROUP/cgroup.procs; fi
done
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
exec {MANAGER} --user --log-target=null
"""
"""A user manager needs /run/systemd/system, by which systemd says that it manages the machine. It moves all processes
of the control group in which it starts, so it gets one of its own."""


def wait(condition: Callable[[], object], what: str) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.05)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables by which commands find a systemd user manager that serves this test only."""
    if os.geteuid() != 0 or not MANAGER.exists() or not shutil.which("unshare"):
        pytest.skip("needs root, systemd and unshare to start a user manager of its own")
    with tempfile.TemporaryDirectory(prefix="taod-xdg-") as runtime:  # a short path: it holds sockets
        variables = {"XDG_RUNTIME_DIR": runtime, "XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
        group = f"taod-manager-{os.getpid()}"
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", IN_NAMESPACE],
            env=os.environ | variables | {"GROUP": group},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            socket = Path(runtime) / "systemd" / "private"
            wait(lambda: socket.exists() or process.poll() is not None, "the user manager does not start")
            if process.poll() is not None:
                pytest.skip("systemd does not start a user manager here")
            yield variables
        finally:
            process.send_signal(signal.SIGRTMIN + 24)  # exit
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for hierarchy in ("systemd", "unified", ""):
                cgroup.remove(Path("/sys/fs/cgroup") / hierarchy / group)
