"""A real `taod serve` whose native runner finds the scripted tool under every network's name; plain HTTP beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from taod.catalogue import Catalogue
from taod.client.find import find
from tests.clients.archives import archive
from tests.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
TOOL = Path(__file__).with_name("tao_tool.py")
BARE = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
"""What a client's process inherits; no proxy stands between it and the daemon."""


class World:
    """The daemon's process, its root, and the bin folder that its taod.toml names."""

    def __init__(self, folder: Path, order: tuple[str, ...] = ("native",)) -> None:
        self.root = folder / "root"
        self._tools(folder)
        self._hold = folder / "hold"
        self._hold.mkdir()
        self._settings = folder / "taod.toml"
        self.weights = folder / "weights"
        """Where the user of this machine keeps pretrained weights."""
        self.weights.mkdir()
        self._settings.write_text(
            f'[storage]\nlink_roots = ["{self.weights}"]\n\n'
            "[devices]\ngpus = false\ncpu_slots = 2\n\n"
            f"[runner]\norder = {list(order)}\n\n"
            f'[runner.native]\npath = ["{folder / "bin"}", "{folder / "deploy"}"]\n'
        )
        self._process: subprocess.Popen[str] | None = None
        self._folder = folder

    def _tools(self, folder: Path) -> None:
        """The tool as an executable of this Python, without its packages, and a link to it for each entry point."""
        (folder / "bin").mkdir(parents=True)
        script = folder / "tao_tool"
        script.write_text(f"#!{sys.executable} -IS\n{TOOL.read_text()}")
        script.chmod(0o755)
        for name in (*Catalogue().networks(), "augment", "trtexec"):
            (folder / "bin" / name).symlink_to(script)
        (folder / "deploy").mkdir()
        for name in Catalogue().networks():
            (folder / "deploy" / name).write_text(f"#!{sys.executable} -IS\n# nvidia_tao_deploy\n{TOOL.read_text()}")
            (folder / "deploy" / name).chmod(0o755)

    def start(self) -> None:
        with (self._folder / "serve.err").open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "taod", "serve", "--port", "0", "--root", self.root, "--config", self._settings],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
                cwd=self._folder,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.complaints
        info = find(self.root, None, None)
        self.url, self.user_id, self.token = info.url, info.user_id, info.token

    def stop(self) -> int:
        assert self._process is not None and self._process.stdout is not None
        self._process.terminate()
        code = self._process.wait(PATIENCE_S)
        self._process.stdout.close()
        return code

    @property
    def complaints(self) -> str:
        """What the daemon had to say on its terminal."""
        return (self._folder / "serve.err").read_text()

    def key(self) -> str:
        """A key for the login endpoint, made as people make it."""
        made = subprocess.run(
            [sys.executable, "-m", "taod", "user", "key", "local", "--root", str(self.root)],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return made.stdout.strip()

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a published client: USER, BASE_URL with the slash that its default has, TOKEN."""
        inherited = {name: os.environ[name] for name in BARE if name in os.environ}
        reported = {"BASE_URL": f"{self.url}/api/v1/", "USER": self.user_id, "TOKEN": self.token}
        return inherited | reported | more

    @contextmanager
    def held(self, network: str) -> Iterator[None]:
        """Trains of the network stop before their second epoch in this context, unless they are signalled to end."""
        gate = self._hold / network
        os.mkfifo(gate)
        try:
            yield
        finally:
            end = os.open(gate, os.O_RDWR | os.O_NONBLOCK)
            gate.unlink()
            os.close(end)


class Beside:
    """Plain HTTP in the name of the user: bodies are JSON without a Content-Type, below `/api/v1//user/…`."""

    def __init__(self, world: World) -> None:
        self.http = httpx.Client(
            base_url=f"{world.url}/api/v1//user/{world.user_id}",
            headers={"Authorization": f"Bearer {world.token}"},
            timeout=PATIENCE_S,
            trust_env=False,
            # A connection that the daemon closes while it is idle must not fail the next request.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def call(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Ask; the answer must have this status. Returns its JSON."""
        content = None if body is None else msgspec.json.encode(body)
        answer = self.http.request(method, path, content=content)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def rejected(self, method: str, path: str, body: Any = None, *, status: int = 400) -> str:
        """Send a request that is rejected with an error in the contract's form. Returns its description."""
        reported = self.call(method, path, body, status=status)
        assert (set(reported), reported["error_code"]) == ({"error_code", "error_desc"}, status)
        return str(reported["error_desc"])

    def upload(self, dataset_id: str, type_: str, format_: str) -> None:
        content = archive(type_, format_)
        answer = self.http.post(f"/dataset/{dataset_id}/upload", files={"file": ("data.tar.gz", content)})
        assert answer.status_code == 201, answer.text

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait, by the server's own events, until something holds; each event is a reason to look again."""
        deadline = time.monotonic() + PATIENCE_S
        with self.http.stream("GET", "/events") as events:
            assert events.status_code == 200
            lines = events.iter_lines()
            next(lines)  # from here on nothing that happens is missed
            while not holds():
                line = next(lines)
                while not line.startswith("event: job"):
                    assert time.monotonic() < deadline, f"it did not come to hold in {PATIENCE_S} s"
                    line = next(lines)

    def job(self, job_id: str) -> dict[str, Any]:
        """Everything about a job, its state and reason too."""
        found: dict[str, Any] = self.call("GET", f"/job/{job_id}")["job"]
        return found

    def end_of(self, jobs: Iterable[str]) -> list[str]:
        """Wait for the jobs' ends; the status of each."""
        open_ = list(jobs)

        def over() -> bool:
            while open_ and self.job(open_[0])["status"] in ("Done", "Error"):
                del open_[0]
            return not open_

        wanted = list(open_)
        self.until(over)
        return [f"{job['status']} {job['action']}: {job['reason']}" for job in map(self.job, wanted)]
