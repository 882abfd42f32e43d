"""What attacks cost other clients: the worst delay of a health probe and of a create meanwhile, and the peak memory.

`python -m bench hostile`. Each attack runs against a daemon of its own, for 15 seconds at most.
"""

from __future__ import annotations

import http.client
import json
import resource
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench._daemon import serving
from taod.client.find import find
from taod.types.common import DaemonInfo

LIMIT_S = 15.0
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
    time.sleep(5)


ATTACKS: dict[str, Callable[[Target], None]] = {
    "nothing": lambda target: time.sleep(3),
    "YAML of 2 MB": lambda target: target.spec(b"".join(b"a%d: 1\n" % n for n in range(200_000))[: 2 * MB], YAML),
    "YAML of 15 MB": lambda target: target.spec(b"a: [" + b"1, " * (5 * MB) + b"1]", YAML),
    "YAML with a sexagesimal number": lambda target: target.spec(b"a: " + b"1:" * 200_000 + b"1", YAML),
    "JSON with 700,000 unknown fields": lambda target: target.ask(
        "POST", "/model", b"{" + b",".join(b'"f%d":1' % n for n in range(700_000)) + b"}"
    ),
    "JSON with 19,000 parameters": lambda target: target.spec(
        b"{" + b",".join(b'"f%d":1' % n for n in range(19_000)) + b"}"
    ),
    "JSON list with 9,000 unknown parameters": lambda target: target.spec(
        json.dumps({"classwise_config": [{"a": 1}] * 9000}).encode(), model=target.old_model
    ),
    "protobuf text of 2 MB": lambda target: target.spec(b"a: 1\n" * 400_000, "text/plain", target.old_model),
    "references that double": lambda target: target.spec(
        json.dumps({"f0": "x" * 100} | {f"f{n}": f"${{f{n - 1}}}${{f{n - 1}}}" for n in range(1, 24)}).encode()
    ),
    "a head of 100 MB": _long_head,
    "2,000 idle connections": lambda target: target.open(2000, b""),
    "2,000 event streams": _streams,
}


def run() -> list[tuple[str, str, str]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    rows = []
    for name, attack in ATTACKS.items():
        with serving() as root:
            delays, memory = _attacked(root, attack)
        said = ", ".join(f"{what} {worst * 1000:.0f} ms" for what, worst in delays.items())
        rows.append((name, f"{said}, {memory / MB:.0f} MB", f"goal {HEALTH_MS} ms, {CREATE_MS} ms"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return rows


def _attacked(root: Path, attack: Callable[[Target], None]) -> tuple[dict[str, float], int]:
    """The worst delay of each kind of request during an attack, and the daemon's peak memory in bytes."""
    info = find(root)
    target = Target(info)
    over = threading.Event()
    dataset = {"type": "image_classification", "format": "classification_pyt"}
    probes: dict[str, Callable[[], Any]] = {
        "health": lambda: target.ask("GET", "/api/v1/health"),
        "create": lambda: target.ask("POST", "/dataset", dataset),
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
