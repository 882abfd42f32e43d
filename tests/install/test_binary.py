"""The executable of `make binary`: whole jobs on a system of busybox and glibc alone, and the dashboard."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from taod import __version__
from tests.install import workflow
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow(seconds=45)

REPOSITORY = Path(__file__).parents[2]
GLIBC = (
    "ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1",
    "libresolv.so.2", "libnss_files.so.2",
)  # fmt: skip
"""All libraries of the bare system: Debian's package libc6 has them."""
MOST_BYTES = 90e6


@pytest.fixture(scope="session")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `make binary` writes; TAOD_BINARY names one that is built already."""
    if built := os.environ.get("TAOD_BINARY"):
        return Path(built)
    target = tmp_path_factory.mktemp("binary") / "taod"
    words = [sys.executable, REPOSITORY / "bundle/binary.py", target]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture
def bare(tmp_path: Path, executable: Path) -> Iterator[Path]:
    """The root folder of a system without Python: busybox, the C library, a few devices, the executable."""
    busybox = shutil.which("busybox")
    if os.getuid() != 0 or busybox is None or shutil.which("unshare") is None:
        pytest.skip("needs root, busybox and unshare")
    if "not a dynamic" not in subprocess.run(["ldd", busybox], capture_output=True, text=True, check=False).stderr:
        pytest.skip("needs a static busybox")
    root = tmp_path / "bare"
    for name in ("bin", "lib64", "lib", "dev", "proc", "tmp", "root", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    for name in GLIBC:
        for folder in ("/lib64", "/lib/x86_64-linux-gnu"):
            if (found := Path(folder) / name).exists():
                shutil.copy(found, root / ("lib64" if name.startswith("ld-") else "lib") / name)
                break
    shutil.copy(executable, root / "bin/taod")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    if subprocess.run(inside(root, "/bin/true"), capture_output=True, check=False).returncode != 0:
        pytest.skip("namespaces and chroot are not allowed here")
    yield root


def inside(root: Path, *words: str) -> list[str]:
    """The command line of a command in the bare system, with the host's processes, network and random numbers."""
    mounts = 'mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" /bin/env -i "$@"'
    return ["unshare", "--mount", "sh", "-c", mounts, str(root), "PATH=/bin", "HOME=/root", *words]


def test_a_whole_job_runs_on_a_system_without_python(bare: Path) -> None:
    taod = workflow.program(inside(bare, "/bin/taod"), {"PATH": os.environ["PATH"]})
    assert taod("--version") == f"taod {__version__}\n"
    workflow.prepare(bare / "work", Path("/work"))
    with workflow.daemon(taod, Path("/work")):
        log = workflow.train(taod, Path("/work"))
        assert "starting train under no Python" in log
        # Of the executable's own variables the tool has none, which would change what it loads.
        assert not [line for line in log.splitlines() if line.startswith(("LD_LIBRARY_PATH", "_PYI", "TAOD_PROGRAM"))]
        workflow.use_each_process(taod, Path("/work"), seen_here=bare / "work")


def test_commands_that_need_files_of_the_packages_have_them(executable: Path, tmp_path: Path) -> None:
    taod = workflow.program([str(executable)], {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    assert "openapi: 3" in taod("openapi", "--yaml")
    assert "backbone" in taod("network", "show", "classification_pyt", "train")
    assert "_taod_completion" in taod("completion", "bash")
    assert f'ExecStart="{executable}" "serve"' in taod("service", "install", "--print")


def test_it_has_the_core_alone(executable: Path, tmp_path: Path) -> None:
    assert executable.stat().st_size < MOST_BYTES
    taod = workflow.program([str(executable)], {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    taod("--version")
    (place,) = (tmp_path / ".cache/taod/program").iterdir()
    names = {path.name for path in (place / "_internal").iterdir()}
    assert not names & {"torch", "scipy", "matplotlib", "sklearn", "pytest", "hypothesis", "faker", "onnx"}


def test_doctor_names_the_python_that_the_engine_needs(executable: Path, tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [executable, "doctor", "--json", "--root", tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"in the executable {executable}" in done.stdout
    assert "install 'taod[engine]' in a Python environment and name its Python in runner.embedded.python" in done.stdout


def test_its_extras_work(executable: Path, tmp_path: Path) -> None:
    """Messages by apprise, whose services are files; the dashboard in a browser; tools for agents."""
    received = list[bytes]()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TAOD_ROOT": f"{tmp_path}/root"}
    taod = workflow.program([str(executable)], environment)
    workflow.prepare(tmp_path)
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        target = f'[[notify.target]]\nname = "chat"\napprise = "json://127.0.0.1:{server.server_port}/"\n'
        settings = tmp_path / "taod.toml"
        settings.write_text(settings.read_text() + target)
        with workflow.daemon(taod, tmp_path):
            taod("notify", "test", "chat")
            assert len(received) == 1 and b"taod" in received[0]
            page = subprocess.Popen(
                [executable, "tui", "--web", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True
            )
            with page:
                assert page.stdout is not None
                url = page.stdout.readline().partition("dashboard at ")[2].split()[0]
                opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
                assert b"textual.js" in opener.open(url, timeout=PATIENCE_S).read()
                page.terminate()
            hello = {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "initialize",
                "params": {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {},
                    "clientInfo": {"name": "t", "version": "1"},
                },
            }
            agent = subprocess.run(
                [executable, "mcp"], input=json.dumps(hello) + "\n", env=environment,
                capture_output=True, text=True, timeout=PATIENCE_S, check=False,
            )  # fmt: skip
            assert '"serverInfo"' in agent.stdout, agent.stderr
        server.shutdown()


def test_the_dashboard_starts(executable: Path, tmp_path: Path) -> None:
    """In a real terminal: its style sheet and pages are there."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    taod = workflow.program([str(executable)], {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    workflow.prepare(tmp_path)
    server = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]

    def screen_with(*wanted: str, without: str = "\0") -> None:
        end = time.monotonic() + PATIENCE_S
        while True:
            words = [*server, "capture-pane", "-p", "-t", "taod"]
            text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            if all(word in text for word in wanted) and without not in text:
                return
            assert time.monotonic() < end, text
            time.sleep(0.1)

    def press(key: str) -> None:
        subprocess.run([*server, "send-keys", "-t", "taod", key], check=True)

    with workflow.daemon(taod, tmp_path):
        workflow.train(taod, tmp_path)
        command = (
            f"unset COLUMNS LINES; HOME={tmp_path} {executable} tui --root {tmp_path}/root; echo exit code $?; cat"
        )
        size = ["-x", "140", "-y", "44"]
        subprocess.run([*server, "new-session", "-d", "-s", "taod", *size, command], check=True)
        try:
            screen_with("Devices", "classification_pyt", "done")
            press("k")
            screen_with("loss")
            press("D")
            screen_with("image_classification")
            press("?")
            screen_with("Keys")
            press("Escape")
            screen_with("Datasets", without="Keys")  # else Escape and the next key are one key with Alt
            press("q")
            screen_with("exit code 0")
        finally:
            subprocess.run([*server, "kill-server"], check=False)
