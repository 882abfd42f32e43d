"""Heads without end, silence, unread answers and many connections: others are served meanwhile."""

from __future__ import annotations

import asyncio
import http.client
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx
import pytest

from taod.config import ServerConfig
from taod.connections import PIPELINED, YOUNG, BoundedProtocol, Connections
from taod.daemon import KEEP_ALIVE_S
from taod.socket_account import SocketAccounts
from taod.turns import Turns
from tests.hostile.conftest import Daemon
from tests.patience import PATIENCE_S

CONFIG = """
[server]
connections = 120
connections_per_peer = 100
head_s = 1.0
silence_s = 1.0
streams_per_user = 40
"""
MB = 1 << 20


def rejected(answer: bytes, status: int) -> None:
    assert answer == b"" or answer.split(b" ", 2)[1] == str(status).encode(), answer[:200]


HEADS = {
    "one long header": lambda d: d.head("GET", "/api/v1/health", "X-A: " + "a" * MB),
    "a header over the limit": lambda d: d.head("GET", "/api/v1/health", "X-A: " + "a" * 66_000),
    "many headers": lambda d: d.head("GET", "/api/v1/health", *(f"X-{n}: {'a' * 100}" for n in range(20_000))),
    "many short headers": lambda d: d.head("GET", "/api/v1/health", *("a:b" for _ in range(60_000))),
    "a long name": lambda d: d.head("GET", "/api/v1/health", "a" * MB + ": b"),
    "a long path": lambda d: d.head("GET", "/api/v1/" + "a" * MB),
    "a long query": lambda d: d.head("GET", "/api/v1/health?" + "a=b&" * 100_000),
    "a long cookie": lambda d: d.head("GET", "/api/v1/health", "Cookie: " + "a=b;" * 100_000),
    "a long token": lambda d: d.head("GET", "/api/v1/health", "Authorization: Bearer " + "a" * MB),
    "a head without end": lambda d: d.head("GET", "/api/v1/health")[:-2] + b"X-A: a\r\n" * 300_000,
    "a second head": lambda d: d.head("GET", "/api/v1/health") + b"GET / HTTP/1.1\r\n" + b"X-A: a\r\n" * 300_000,
}  # fmt: skip
GARBAGE = {
    "zeros": bytes(1000),
    "TLS": bytes.fromhex("16030100c8010000c40303") + os.urandom(200),
    "text": b"hello\r\n\r\n",
    "line breaks": b"\r\n" * 100_000,
    "two lengths": b"POST /api/v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "a negative length": b"POST /api/v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a huge length": b"POST /api/v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
    "a wrong chunk": b"POST /api/v1/health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b\r\n\r\n",
    "a header with NUL": b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n",
    "HTTP/9": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an absolute target": b"GET http://evil/ HTTP/1.1\r\nHost: evil\r\n\r\n",
    "a bad target": b"GET \xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_over_the_limit_is_rejected(daemon: Daemon, name: str) -> None:
    answer = daemon.raw(HEADS[name](daemon))
    last = answer[answer.rfind(b"HTTP/1.1 ") :]
    rejected(last, 431)
    daemon.healthy()


def test_a_head_below_the_limit_is_answered(daemon: Daemon) -> None:
    answer = daemon.raw(daemon.head("GET", "/api/v1/health", "X-A: " + "a" * 60_000, "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_rejected_or_closed(daemon: Daemon, name: str) -> None:
    answer = daemon.raw(GARBAGE[name])
    assert answer == b"" or answer.split(b" ", 2)[1] in (b"400", b"401", b"403", b"404", b"405", b"431"), answer[:200]
    daemon.healthy()


@pytest.mark.parametrize(("requests", "most"), [(5, 5), (5000, PIPELINED + 1)])
def test_few_requests_wait_on_one_connection(daemon: Daemon, requests: int, most: int) -> None:
    last = daemon.head("GET", "/api/v1/health", "Connection: close")
    answer = daemon.raw(daemon.head("GET", "/api/v1/health") * (requests - 1) + last)
    answered = answer.count(b"HTTP/1.1 200")
    assert answered == requests if requests == most else answered <= most
    daemon.healthy()


SMALL = {
    "headers behind the body": b"2\r\n{}\r\n0\r\n" + b"X-A: a\r\n" * 500_000 + b"\r\n",
    "chunks of a byte": b"1\r\n \r\n" * 500_000 + b"2\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", SMALL)
def test_a_body_in_too_small_pieces_is_rejected(daemon: Daemon, name: str) -> None:
    head = daemon.head("POST", daemon.base + "/model", "Transfer-Encoding: chunked", "Connection: close")
    answer = daemon.raw(head + SMALL[name])
    rejected(answer, 400)
    assert answer == b"" or b"too small chunks" in answer
    daemon.healthy()


def test_a_body_in_chunks_is_read(daemon: Daemon) -> None:
    head = daemon.head("POST", daemon.base + "/model", "Transfer-Encoding: chunked", "Connection: close")
    body = b'{"network_arch": "classification_pyt"}'
    chunks = b"".join(b"1\r\n%c\r\n" % each for each in body)
    answer = daemon.raw(head + chunks + b"0\r\nX-A: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 201"), answer


def test_malformed_requests_of_anyone_are_not_logged(daemon: Daemon) -> None:
    for garbage in GARBAGE.values():
        daemon.raw(garbage)
    head = daemon.head("POST", f"{daemon.base}/dataset/{daemon.make('dataset')}/upload", "Connection: close",
        'Content-Type: multipart/form-data; boundary="x', "Content-Length: 3")  # fmt: skip
    daemon.raw(head + b"abc")
    log = next(daemon.root.glob("*.log")).read_text()
    assert "WARNING" not in log and "Invalid HTTP" not in log and "boundary" not in log


SILENT = {
    "nothing": lambda d: b"",
    "half a line": lambda d: b"GET /api",
    "half a head": lambda d: d.head("GET", "/api/v1/health")[:-2],
    "half a body": lambda d: d.head("POST", d.base + "/model", "Content-Length: 100") + b'{"name"',
    "no body": lambda d: d.head("POST", d.base + "/model", "Content-Length: 100"),
    "half a chunk": lambda d: d.head("POST", d.base + "/model", "Transfer-Encoding: chunked") + b"64\r\n{",
    "half an upload": lambda d: (
        d.head("POST", d.base + f"/dataset/{d.make('dataset')}/upload", "Content-Length: 99999") + b"\x1f\x8b"
    ),
    "nothing after an answer": lambda d: d.head("GET", "/api/v1/health"),
}  # fmt: skip


@pytest.mark.parametrize("name", SILENT)
def test_a_silent_connection_is_closed(daemon: Daemon, name: str) -> None:
    with daemon.connect() as connection:
        connection.sendall(SILENT[name](daemon))
        while connection.recv(65536):
            pass
    daemon.healthy()


def test_a_head_that_arrives_in_drops_is_not_waited_for(daemon: Daemon) -> None:
    began = time.monotonic()
    with daemon.connect() as connection:
        try:
            while time.monotonic() - began < PATIENCE_S / 2:
                connection.sendall(b"G")
                connection.settimeout(0.05)
                try:
                    if not connection.recv(1):
                        break
                except TimeoutError:
                    continue
        except ConnectionError:
            pass
    assert time.monotonic() - began < PATIENCE_S / 2


def test_a_slow_upload_that_continues_is_not_disconnected(daemon: Daemon) -> None:
    body = b'{"network_arch": "classification_pyt"}'
    with daemon.connect() as connection:
        connection.sendall(daemon.head("POST", daemon.base + "/model", f"Content-Length: {len(body)}"))
        for at in range(0, len(body), 10):
            connection.sendall(body[at : at + 10])
            time.sleep(0.5)
        assert connection.recv(100).startswith(b"HTTP/1.1 201")


def test_an_event_stream_is_not_silence(daemon: Daemon) -> None:
    with daemon.connect() as connection:
        connection.sendall(daemon.head("GET", daemon.base + "/events"))
        seen = b""
        while b": taod" not in seen:
            seen += connection.recv(65536)
        time.sleep(2.5)  # longer than silence_s
        daemon.make("model")
        while b"event: " not in seen:
            block = connection.recv(65536)
            assert block
            seen += block


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize("sent", ["nothing", "half a head", "nothing after an answer"])
def test_many_idle_connections_lock_no_client_out(daemon: Daemon, stack: ExitStack, sent: str) -> None:
    for _ in range(250):
        connection = stack.enter_context(daemon.connect())
        connection.sendall(SILENT[sent](daemon))
    daemon.healthy()


class Opened:
    """A connection as `Connections` sees it; the loop has not reported its loss yet."""

    def __init__(self, owner: str = "account 7", *, asked: bool = False) -> None:
        self.owner, self.idle, self.asked, self.closed = owner, True, asked, False
        self.transport = self

    def close(self) -> None:
        self.closed = True


def admit(limits: Connections, *opened: Opened) -> bool:
    return all(limits.admit(cast(BoundedProtocol, each)) for each in opened)


def test_a_burst_of_connections_closes_those_without_a_request_first() -> None:
    limits = Connections(ServerConfig(), 65536)
    kept, burst = Opened(asked=True), [Opened() for _ in range(2000)]
    assert admit(limits, kept, *burst)
    per_peer = limits.config.connections_per_peer
    assert not kept.closed and sum(not each.closed for each in burst) == per_peer - 1
    assert limits.count == per_peer
    later = [Opened(asked=True) for _ in range(per_peer)]
    assert admit(limits, *later)
    assert kept.closed and not any(each.closed for each in burst[-YOUNG:])


def test_a_burst_closes_no_connection_whose_request_may_be_under_way() -> None:
    limits = Connections(ServerConfig(connections_per_peer=100), 65536)
    burst = [Opened() for _ in range(500)]
    assert admit(limits, *burst)
    assert not any(each.closed for each in burst[-25:])


def test_a_burst_closes_no_connection_of_another_account() -> None:
    limits = Connections(ServerConfig(), 65536)
    other = [Opened("account 8") for _ in range(300)]
    assert admit(limits, *other, *(Opened() for _ in range(5000)))
    assert not any(each.closed for each in other)


def test_connections_of_this_machine_belong_to_its_accounts() -> None:
    """The kernel says whose a socket is, exactly and at once: reading its table took up to 300 ms."""
    accounts = SocketAccounts()
    for address in ("127.0.0.1", "::1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as listening:
            try:
                listening.bind((address, 0))
            except OSError:
                continue
            listening.listen()
            with socket.create_connection(listening.getsockname()[:2]) as client:
                server = listening.accept()[0]
                ends = client.getsockname()[:2], server.getsockname()[:2]
                server.close()
                assert accounts.of(*ends) == str(os.getuid())
                assert accounts.of((address, 1), ends[1]) == "?"
                assert accounts.of(*ends) == str(os.getuid())
    assert accounts.of(("no address", 1), ("127.0.0.1", 2)) == "?"
    accounts.close()


@dataclass
class Piece:
    """Work that records that it was started or dropped."""

    name: str
    record: list[str]

    def start(self) -> None:
        self.record.append(self.name)

    def drop(self) -> None:
        self.record.append(f"no {self.name}")


async def test_a_burst_of_requests_delays_no_other_lane_and_no_other_account() -> None:
    turns, record = Turns(at_once=4), list[str]()
    for number in range(1000):
        turns.take("ada", "streams", Piece(f"stream {number}", record))
    turns.take("ada", "requests", Piece("request", record))
    turns.take("grace", "requests", Piece("of grace", record))
    assert record == [f"stream {number}" for number in range(4)]
    await asyncio.sleep(0)
    assert {"request", "of grace"} <= set(record) and len(record) == 8
    for _ in range(250):
        await asyncio.sleep(0)
    assert [each for each in record if each.startswith("stream")] == [f"stream {number}" for number in range(1000)]


async def test_an_account_over_its_limit_loses_what_waits_in_its_longest_lane() -> None:
    turns, record = Turns(at_once=1), list[str]()
    for number in range(4):
        turns.take("ada", "streams", Piece(f"stream {number}", record))
    turns.take("ada", "requests", Piece("request", record))
    assert turns.shed("ada") and turns.shed("ada") and not turns.shed("ada") and not turns.shed("grace")
    assert record == ["stream 0", "no stream 3", "no stream 2"]
    for _ in range(3):
        await asyncio.sleep(0)
    assert set(record[3:]) == {"stream 1", "request"}


def test_many_event_streams_of_a_user_are_rejected(daemon: Daemon, stack: ExitStack) -> None:
    statuses = []
    for _ in range(60):
        connection = stack.enter_context(daemon.connect())
        connection.sendall(daemon.head("GET", daemon.base + "/events"))
        statuses.append(connection.recv(100).split(b" ", 2)[1])
    assert (statuses.count(b"200"), statuses.count(b"503")) == (40, 20)
    daemon.healthy()


def test_closed_streams_make_room(daemon: Daemon) -> None:
    limit = time.monotonic() + PATIENCE_S
    for _ in range(3):
        with ExitStack() as opened:
            while True:  # until the daemon has noticed that the last ones were closed
                connection = opened.enter_context(daemon.connect())
                connection.sendall(daemon.head("GET", daemon.base + "/events"))
                if connection.recv(100).split(b" ", 2)[1] == b"200":
                    break
                assert time.monotonic() < limit
                time.sleep(0.05)


def test_requests_that_are_being_answered_beyond_the_limit_are_rejected_with_the_reason(
    daemon: Daemon, stack: ExitStack
) -> None:
    answers = []
    for _ in range(130):
        connection = stack.enter_context(daemon.connect())
        try:
            connection.sendall(daemon.head("POST", daemon.base + "/model", "Content-Length: 100"))
        except OSError:
            pass
        answers.append(connection)
    connection = answers[-1]
    try:
        said = connection.recv(65536)
    except ConnectionError:
        said = b""
    assert said == b"" or b"too many connections" in said


def test_followers_of_a_log_share_a_thread(daemon: Daemon, folder: Path, stack: ExitStack) -> None:
    gate = folder / "gate"
    os.mkfifo(gate)
    daemon.script.write_text(f'read word < "{gate}"\necho "the $word"\n')
    daemon.script.chmod(0o755)
    from tests.datasets.valid_sets import VALID

    photos = folder / "photos"
    VALID["image_classification", "classification_pyt"](photos)
    dataset, model = daemon.make("dataset"), daemon.make("model")
    daemon.ask("POST", f"/dataset/{dataset}/link", {"path": str(photos)})
    daemon.ask("PATCH", f"/model/{model}", {"train_datasets": [dataset], "eval_dataset": dataset})
    (job,) = daemon.ask("POST", f"/model/{model}/job", {"actions": ["train"]})[1]
    limit = time.monotonic() + PATIENCE_S
    while daemon.ask("GET", f"/job/{job}/log")[0] != 200 and time.monotonic() < limit:
        time.sleep(0.05)
    assert daemon.process is not None

    def threads() -> int:
        assert daemon.process is not None
        return len(list(Path(f"/proc/{daemon.process.pid}/task").iterdir()))

    followers = [http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE_S) for _ in range(30)]
    before = threads()
    answers = []
    for follower in followers:
        follower.request(
            "GET", f"{daemon.base}/job/{job}/log?follow=true", headers={"Authorization": f"Bearer {daemon.token}"}
        )
        answers.append(follower.getresponse())
    first = [answer.read1(20) for answer in answers]
    assert all(first)
    assert threads() <= before + 12  # the pool of the event loop grows with the load, to cores + 4
    gate.write_text("word\n")
    assert all(answer.read().endswith(b"the word\n") for answer in answers)
    daemon.script.unlink()


def test_the_file_limit_is_raised_and_leaves_a_reserve(tmp_path: Path) -> None:
    def low() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 1024))

    daemon = Daemon(tmp_path).start(limits=low)
    assert daemon.process is not None
    assert resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE) == (1024, 1024)
    with ExitStack() as opened:
        for _ in range(1050):
            opened.enter_context(daemon.connect())
        daemon.healthy()
        assert len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir())) < 1024 - 100
        daemon.healthy()
    assert daemon.stop() == 0


@pytest.mark.parametrize(("files", "most"), [(65536, 1000), (1024, 768), (300, 44), (100, 16)])
def test_the_number_of_connections_fits_the_limit_of_open_files(files: int, most: int) -> None:
    assert Connections(ServerConfig(), files).most == most


def test_unread_answers_hold_nothing_for_long(daemon: Daemon, stack: ExitStack) -> None:
    for _ in range(5):
        connection = stack.enter_context(daemon.connect())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(5):
            connection.sendall(daemon.head("GET", "/api/v1/networks"))
    done = threading.Event()
    worker = threading.Thread(target=lambda: (daemon.healthy(), done.set()), daemon=True)
    worker.start()
    assert done.wait(PATIENCE_S)


def test_clients_give_up_an_idle_connection_before_the_daemon_does() -> None:
    kept = httpx.Limits().keepalive_expiry
    assert kept is not None and kept < KEEP_ALIVE_S < ServerConfig().head_s
