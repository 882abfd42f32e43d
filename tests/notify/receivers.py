"""Real counterparts of notifications: an HTTP server, an SMTP server, and programs that write files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from taod.config import NotifyTargetConfig
from tests.children import children


def kill_senders() -> None:
    """Kill the processes that send notifications, with what they have started."""
    for process in children("taod.notify.sender"):
        for each in (*process.children(recursive=True), process):
            each.kill()


@dataclass
class Received:
    """One request of a webhook."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Webhook:
    """An HTTP server that answers with the next of `statuses`, then with 204; requests wait while `gate` is clear."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)


@contextmanager
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    hook.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.received.append(Received(self.path, dict(self.headers), body))
            hook.arrived.set()
            hook.gate.wait()
            try:
                self.send_response(hook.statuses.pop(0) if hook.statuses else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                pass  # The sender was killed.

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook.url = f"http://127.0.0.1:{server.server_address[1]}/hooks/topsecret?token=hidden"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hook
    finally:
        hook.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def writer(path: Path, name: str = "file", **fields: Any) -> NotifyTargetConfig:
    """A target whose command appends each notification to a file, as a line of JSON."""
    return NotifyTargetConfig(name, command=["sh", "-c", 'printf "%s\\n" "$(cat)" >>"$0"', str(path)], **fields)


def lines(path: Path) -> list[dict[str, Any]]:
    """What a `writer` has written."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
