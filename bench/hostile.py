"""What attacks cost other clients: the worst delay of a health probe and of a create meanwhile, and the peak memory.

`python -m bench hostile` takes two to three minutes. Each attack runs for `LIMIT_S` at most, against a daemon of this
tree, and against one of `BEFORE`, the last revision without bounds, in a worktree of its own.
`TAOD_BENCH_BEFORE=<commit>` names another one; empty: none.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench._daemon import TOOL, serving
from taod.client.find import find
from taod.types.common import DaemonInfo

LIMIT_S = 5.0
BEFORE = "cd6c517~1"
MB = 1 << 20
YAML = "application/yaml"
HEALTH_MS, CREATE_MS = 50, 200
"""Goals for the worst delay."""


class Target:
    """A daemon under attack."""

    def __init__(self, info: DaemonInfo) -> None:
        self.address = (urlsplit(info.url).hostname or "", urlsplit(info.url).port or 0)
        self.base = f"/api/v1/user/{info.user_id}"
        self.token = info.token
        self.sockets: list[socket.socket] = []
        self.model = self.ask("POST", "/model", {"network_arch": "classification_pyt"})["id"]
        self.old_model = self.ask("POST", "/model", {"network_arch": "detectnet_v2"})["id"]

    def ask(self, verb: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        connection = http.client.HTTPConnection(*self.address, timeout=LIMIT_S)
        try:
            content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
            connection.request(verb, path if path.startswith("/api") else self.base + path, content, headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def spec(self, body: bytes, kind: str = "application/json", model: str | None = None) -> None:
        self.ask("POST", f"/model/{model or self.model}/specs/train", body, kind)

    def open(self, count: int, sent: bytes) -> None:
        for _ in range(count):
            try:
                opened = socket.create_connection(self.address, 5)
                self.sockets.append(opened)
                opened.sendall(sent)
            except OSError:
                return

    def head(self, path: str, more: str = "") -> bytes:
        host = f"Host: {self.address[0]}:{self.address[1]}\r\nAuthorization: Bearer {self.token}\r\n"
        return f"GET {path} HTTP/1.1\r\n{host}{more}".encode()


def _long_head(target: Target) -> None:
    target.open(1, target.head("/api/v1"))
    with_header = b"X-A: " + b"a" * MB + b"\r\n"
    for _ in range(100):
        target.sockets[-1].sendall(with_header)


def _streams(target: Target) -> None:
    target.open(2000, target.head(f"{target.base}/events", "\r\n"))
    time.sleep(2)


def _waiting(target: Target, count: int, *, long: bool = False) -> list[str]:
    """Post jobs that wait for their data; returns their ids. `long`: each with 19,000 parameters."""
    data = target.ask("POST", "/dataset", _DATASET)["id"]
    target.ask("PATCH", f"/model/{target.model}", {"train_datasets": [data], "eval_dataset": data})
    if long:
        target.spec(_LONG)
    made: Any = target.ask("POST", f"/model/{target.model}/job", {"job": None, "actions": ["train"] * count})
    return list(made)


def _long_jobs(target: Target) -> None:
    _waiting(target, 10, long=True)


def _many_jobs(target: Target) -> None:
    _waiting(target, 1)
    entry = {"job": None, "actions": ["train"] * 100}
    target.ask("POST", f"/model/{target.model}/job", [entry] * 40)


def _plan(target: Target) -> None:
    _waiting(target, 1, long=True)
    target.ask("POST", f"/model/{target.model}/job?dry_run=true", {"job": None, "actions": ["train"] * 10})


def _change(target: Target) -> None:
    (job,) = _waiting(target, 1)
    target.ask("PATCH", f"/job/{job}", b'{"spec":' + _LONG + b"}")


def _move(target: Target) -> None:
    target.spec(_LONG)
    target.ask("GET", f"/model/{target.model}/release?to=7.3")
    target.ask("POST", f"/model/{target.model}/release", {"release": "7.3"})


def _list(target: Target) -> None:
    for _ in range(10):
        _waiting(target, 100)
    for path in ("/job", "/queue", f"/model/{target.model}", f"/model/{target.model}/job"):
        target.ask("GET", path)


_LONG = b"{" + b",".join(b'"f%d":1' % n for n in range(19_000)) + b"}"


def _followers(target: Target) -> None:
    """50 clients that do not read follow the log of a run that writes 2 MB/s."""
    with tempfile.TemporaryDirectory(prefix="taod-bench-") as folder:
        for name in ("a", "b"):
            (Path(folder) / "images_train" / name).mkdir(parents=True)
            (Path(folder) / "images_train" / name / "1.png").write_bytes(_PNG)
        (Path(folder) / "classes.txt").write_text("a\nb\n")
        data = target.ask("POST", "/dataset", _DATASET)["id"]
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as archive:
                archive.add(folder, ".")
            packed.seek(0)
            target.ask("POST", f"/dataset/{data}/upload", packed.read(), "application/x-tar")
    target.ask("PATCH", f"/model/{target.model}", {"train_datasets": [data], "eval_dataset": data})
    (job,) = target.ask("POST", f"/model/{target.model}/job", {"job": None, "actions": ["train"]})
    target.open(50, target.head(f"{target.base}/job/{job}/log?follow=true", "\r\n"))
    time.sleep(3)


WRITING = TOOL.replace(
    "for ((line",
    "for ((n = 0; n < 60; n++)); do head -c 100000 /dev/zero | tr '\\0' '\\n'; sleep 0.05; done\nfor ((line",
)
"""Writes 2 MB/s to its log for three seconds first."""
_DATASET = {"type": "image_classification", "format": "classification_pyt"}
_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001"
    "f61738550000000049454e44ae426082"
)

ATTACKS: dict[str, Callable[[Target], None]] = {
    "nothing": lambda target: time.sleep(2),
    "YAML of 2 MB": lambda target: target.spec(b"".join(b"a%d: 1\n" % n for n in range(200_000))[: 2 * MB], YAML),
    "YAML of 15 MB": lambda target: target.spec(b"a: [" + b"1, " * (5 * MB) + b"1]", YAML),
    "YAML with a sexagesimal number": lambda target: target.spec(b"a: " + b"1:" * 200_000 + b"1", YAML),
    "JSON with 700,000 unknown fields": lambda target: target.ask(
        "POST", "/model", b"{" + b",".join(b'"f%d":1' % n for n in range(700_000)) + b"}"
    ),
    "JSON with 19,000 parameters": lambda target: target.spec(_LONG),
    "10 jobs with 19,000 parameters": _long_jobs,
    "a plan of 10 such jobs": _plan,
    "a change of a job to 19,000 parameters": _change,
    "a move of such a model to release 7.3": _move,
    "4,000 jobs in a request": _many_jobs,
    "1,000 jobs, all listed": _list,
    "JSON list with 9,000 unknown parameters": lambda target: target.spec(
        json.dumps({"classwise_config": [{"a": 1}] * 9000}).encode(), model=target.old_model
    ),
    "protobuf text of 2 MB": lambda target: target.spec(b"a: 1\n" * 400_000, "text/plain", target.old_model),
    "references that double": lambda target: target.spec(
        json.dumps({"f0": "x" * 100} | {f"f{n}": f"${{f{n - 1}}}${{f{n - 1}}}" for n in range(1, 24)}).encode()
    ),
    "references nested 20,000 deep": lambda target: target.spec(
        json.dumps({"a": "${" * 20_000 + "b" + "}" * 20_000}).encode()
    ),
    "a head of 100 MB": _long_head,
    "2,000 idle connections": lambda target: target.open(2000, b""),
    "2,000 event streams": _streams,
    "50 followers of a log": _followers,
}


def run() -> Iterator[tuple[str, str, str]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    switch = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)  # The attack and the probes are threads of this process.
    yield "attack", "worst health probe, worst create, peak memory", f"before; goals {HEALTH_MS} ms, {CREATE_MS} ms"
    with _before() as before:
        for name, attack in ATTACKS.items():
            yield name, _measured(attack), _measured(attack, before) if before else "–"
    sys.setswitchinterval(switch)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def _before() -> Iterator[Path | None]:
    """A tree of the revision to compare with; None without one."""
    revision = os.environ.get("TAOD_BENCH_BEFORE", BEFORE)
    git = ["git", "-C", str(Path(__file__).parent), "worktree"]
    with tempfile.TemporaryDirectory(prefix="taod-bench-") as folder:
        tree = Path(folder) / "tree"
        made = revision and subprocess.run([*git, "add", "--detach", str(tree), revision], capture_output=True)
        if not made or made.returncode:
            yield None
            return
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True, capture_output=True)


def _measured(attack: Callable[[Target], None], tree: Path | None = None) -> str:
    with serving(tool=WRITING, tree=tree) as root:
        delays, memory = _attacked(root, attack)
    shown = [f"{worst * 1000:.0f} ms" if worst < LIMIT_S else f"over {LIMIT_S:.0f} s" for worst in delays.values()]
    return ", ".join([*shown, f"{memory / MB:.0f} MB"])


def _attacked(root: Path, attack: Callable[[Target], None]) -> tuple[dict[str, float], int]:
    """The worst delay of each kind of request during an attack, and the daemon's peak memory in bytes."""
    info = find(root)
    target = Target(info)
    over = threading.Event()
    probes: dict[str, Callable[[], Any]] = {
        "health": lambda: target.ask("GET", "/api/v1/health"),
        "create": lambda: target.ask("POST", "/dataset", _DATASET),
    }
    worst = dict.fromkeys(probes, 0.0)

    def probe(name: str) -> None:
        while not over.is_set():
            began = time.perf_counter()
            try:
                probes[name]()
            except (OSError, http.client.HTTPException, ValueError):
                worst[name] = max(worst[name], LIMIT_S)
            worst[name] = max(worst[name], time.perf_counter() - began)
            over.wait(0.01)

    def strike() -> None:
        try:
            attack(target)
        except (OSError, http.client.HTTPException, ValueError):
            pass  # The daemon has closed the connection, as it should.

    threads = [threading.Thread(target=probe, args=(name,)) for name in probes]
    for thread in threads:
        thread.start()
    striking = threading.Thread(target=strike, daemon=True)
    striking.start()
    striking.join(LIMIT_S)
    over.set()
    for thread in threads:
        thread.join()
    for opened in target.sockets:
        opened.close()
    return worst, _peak(info.pid)


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    for row in run():
        print(*row, sep=" | ")
