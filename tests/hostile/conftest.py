"""A real daemon on a real socket for each file, and a client that sends any bytes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from taod.client.find import find
from tests.patience import PATIENCE_S
from tests.user_manager import manager as manager

TOOL = """#!/bin/sh
# A network's entry point: starts, runs what the test has put beside it, and ends well.
for argument; do
  case $argument in --results_dir=*) results=${argument#--results_dir=} ;; esac
done
results=${results%/}
mkdir -p "$results"
echo "starting $1"
if [ -x "@SCRIPT@" ]; then . "@SCRIPT@"; fi
echo '{"status": "SUCCESS", "message": "Finished"}' >> "$results/status.json"
"""


@dataclass
class Daemon:
    """A daemon as a process, with its first user's token."""

    folder: Path
    config: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def script(self) -> Path:
        """What the next run does, as a shell script."""
        return self.folder / "script"

    def start(self, *, limits: Callable[[], None] | None = None) -> Daemon:
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        tool = tools / "classification_pyt"
        tool.write_text(TOOL.replace("@SCRIPT@", str(self.script)))
        tool.chmod(0o755)
        toml = self.folder / "taod.toml"
        toml.write_text(
            f'[devices]\ngpus = false\n[runner]\norder = ["native"]\n[runner.native]\npath = ["{tools}"]\n{self.config}'
        )
        command = [sys.executable, "-m", "taod", "serve", "--root", str(self.root), "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--config", str(toml)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TAOD_STORAGE_LINK_ROOTS": json.dumps([str(self.folder)])} | self.environment,
            preexec_fn=limits,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), "the daemon did not start"
        info = find(self.root)
        self.token, self.user = info.token, info.user_id
        self.port = int(info.url.rpartition(":")[2])
        self.base = f"/api/v1/user/{info.user_id}"
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def head(self, verb: str, path: str, *lines: str) -> bytes:
        """A request's head, with host and token."""
        first = f"{verb} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.token}\r\n"
        return (first + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode()

    def raw(self, sent: bytes) -> bytes:
        """Everything that the daemon answers to these bytes until it closes; nothing if it only closes."""
        with self.connect() as connection:
            try:
                connection.sendall(sent)
            except OSError:
                pass  # It may answer and close before it has read everything.
            answer = b""
            try:
                while block := connection.recv(65536):
                    answer += block
            except ConnectionError:
                pass
            return answer

    def ask(self, verb: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of one request; `path` below the user unless it begins with /api."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        try:
            sent = {"Authorization": f"Bearer {self.token}"} | (headers or {})
            connection.request(verb, path if path.startswith("/api") else self.base + path, content, sent)
            answer = connection.getresponse()
            text = answer.read()
            kind = answer.getheader("content-type") or ""
            return answer.status, json.loads(text) if kind.startswith("application/json") else text
        finally:
            connection.close()

    def make(self, kind: str, **fields: Any) -> str:
        """A new model or dataset; its id."""
        first: dict[str, Any] = {"network_arch": "classification_pyt"}
        if kind == "dataset":
            first = {"type": "image_classification", "format": "classification_pyt"}
        status, made = self.ask("POST", f"/{kind}", first | fields)
        assert status == 201, made
        return str(made["id"])

    def healthy(self) -> None:
        """The daemon answers, and can still store."""
        assert self.ask("GET", "/api/v1/health/readiness")[0] == 200
        self.make("dataset")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="taod-hostile-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def daemon(folder: Path, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A running daemon; a module's CONFIG is added to its taod.toml. It must end well."""
    started = Daemon(folder, getattr(request.module, "CONFIG", "")).start()
    yield started
    assert started.stop() == 0
