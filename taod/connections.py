"""Bounds on connections, which uvicorn lacks: heads, silence, slow readers, and how many there are, of whom.

A connection belongs to its peer's address; on loopback, where all users have the same one, to the account behind it.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Hashable
from typing import Any

from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from taod.api.responses import error_bytes
from taod.config import LOOPBACK, ServerConfig
from taod.socket_account import Address, SocketAccounts
from taod.turns import Turns

log = logging.getLogger(__name__)

RESERVED_FILES = 256
"""Descriptors for the store, runs, logs and health checks, beside connections."""
MOST_FILES = 65536
"""A higher limit makes tools slow that close all descriptors that they may have."""
HEALTH_CONNECTIONS = 16
"""Beyond `server.connections`, for connections that are closed again at once: they get an answer."""
YOUNG = 64
"""The newest connections may have sent a request that was not read yet: they are not closed for another one."""
PIPELINED = 16
"""Requests that may wait on one connection for the answer to the one before; 9,000 fit into one piece of input."""
PIECES = 4096
"""Chunks of a body, and headers behind it, in one piece of input, which has 256 KiB at most: each costs 1 µs."""
_REASONS = {400: b"Bad Request", 431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}


def raise_file_limit() -> int:
    """Raise the soft limit of open files as far as allowed; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


class Connections:
    """All connections of a server, and its limits."""

    def __init__(self, config: ServerConfig, files: int) -> None:
        self.config = config
        self.most = max(min(config.connections, files - RESERVED_FILES), HEALTH_CONNECTIONS)
        self.count = 0
        self.turns = Turns()
        self._peers: dict[str, _Peer] = {}
        self.accounts = SocketAccounts()

    def admit(self, new: BoundedProtocol) -> bool:
        """Add a connection, for which an idle one may be closed. False: the limit is reached."""
        self._enter(new)
        per_peer = min(self.config.connections_per_peer, self.most)
        while (own := self._peers[new.owner]).count > per_peer or self.count > self.most:
            peer = own if own.count > per_peer else max(self._peers.values(), key=lambda each: each.count)
            # One that has never sent a request goes before a client's kept connection, whatever their age.
            idle = peer.new if len(peer.new) > min(YOUNG, per_peer // 4) else peer.rested
            if not idle:
                if not self.turns.shed(peer.owner):
                    return False
                continue
            closed = next(iter(idle))
            # At once: a burst admits many before the loop reports one as lost.
            self.leave(closed)
            closed.transport.close()
        return True

    def owner(self, client: Address | None, server: tuple[str, int | None] | None) -> str:
        """Whose connection it is: the client's account on this machine, else its address."""
        if client is None or server is None or server[1] is None:
            return ""
        if client[0] not in LOOPBACK:
            return client[0]
        return f"account {self.accounts.of(client, (server[0], server[1]))}"

    def leave(self, connection: BoundedProtocol) -> None:
        """A connection is closed; a second call does nothing."""
        peer = self._peers.get(connection.owner)
        if peer is None or connection not in peer.all:
            return
        self.count -= 1
        peer.remove(connection)
        if not peer.all:
            del self._peers[connection.owner]

    def busy(self, connection: BoundedProtocol) -> None:
        """A connection has sent a request."""
        if (peer := self._peers.get(connection.owner)) is not None:
            peer.new.pop(connection, None)
            peer.rested.pop(connection, None)

    def rests(self, connection: BoundedProtocol) -> None:
        """All requests of a connection are answered."""
        peer = self._peers.get(connection.owner)
        if peer is not None and connection in peer.all:
            peer.rested.pop(connection, None)
            peer.rested[connection] = None

    def _enter(self, connection: BoundedProtocol) -> None:
        self.count += 1
        peer = self._peers.get(connection.owner)
        if peer is None:
            peer = self._peers[connection.owner] = _Peer(connection.owner)
        peer.all[connection] = None
        if connection.idle:
            (peer.rested if connection.asked else peer.new)[connection] = None


class _Peer:
    """The connections of one owner."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.all: dict[BoundedProtocol, None] = {}
        self.new: dict[BoundedProtocol, None] = {}
        """Those that never sent a request."""
        self.rested: dict[BoundedProtocol, None] = {}
        """The other idle ones, in the order of their last answer."""

    @property
    def count(self) -> int:
        return len(self.all)

    def remove(self, connection: BoundedProtocol) -> None:
        for group in (self.all, self.new, self.rested):
            group.pop(connection, None)


class _Request:
    """A request that waits for its turn."""

    def __init__(self, connection: BoundedProtocol, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._connection, self._cycle, self._app = connection, cycle, app

    def start(self) -> None:
        if not self._cycle.disconnected:
            self._connection.start_cycle(self._cycle, self._app)

    def drop(self) -> None:
        self._connection.reject(503, "too many requests of this account wait; send fewer at once")


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol within the limits of `[server]`."""

    def __init__(self, *arguments: Any, limits: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._head_bytes: int | None = 0
        """Bytes of an unfinished head; None while there is none."""
        self._timer: asyncio.TimerHandle | None = None
        self._pieces = 0
        """Chunks and headers behind the body in the present piece of input."""
        self.owner = ""
        self.asked = False
        """Whether it has sent a request."""

    @property
    def idle(self) -> bool:
        """Whether no request of it is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # As uvicorn's, which creates two Python sockets to ask for the addresses: half of a connection's cost.
        self.connections.add(self)
        self.transport, self.flow, self.scheme = transport, FlowControl(transport), "http"
        self.server = _address(transport.get_extra_info("sockname"))
        self.client = _address(transport.get_extra_info("peername"))
        self.owner = self._limits.owner(self.client, self.server)
        if not self._limits.admit(self):
            self.reject(503, "there are too many connections; close some, or raise server.connections in taod.toml")
            return
        self._watch(self._limits.config.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._limits.leave(self)
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._pieces = 0
        if self._head_bytes is not None:
            if not self._head_bytes:
                self._watch(self._limits.config.head_s)
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes is None:
            self._watch(self._limits.config.silence_s)
        elif self._head_bytes > self._limits.config.head_bytes:
            self.reject(431, "the head of the request is over server.head_bytes; send less")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_bytes is None:  # Another request in the same piece.
            self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_bytes is not None:
            super().on_header(name, value)
        else:
            self._count_piece()  # A header behind the body, which nothing reads.

    def _count_piece(self) -> None:
        self._pieces += 1
        if self._pieces > PIECES:
            self.reject(400, "the body comes in too small chunks; send larger ones")
            raise ConnectionError("too small chunks")  # ends the reading of the rest

    def on_headers_complete(self) -> None:
        self._head_bytes, self.asked = None, True
        self._limits.busy(self)
        head = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if head > self._limits.config.head_bytes:
            self.reject(431, "the head of the request is over server.head_bytes; send less")
            return
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED:
            self.reject(503, "too many requests came on one connection before the first was answered; wait for answers")
            raise ConnectionError("too many requests on one connection")  # ends the reading of the rest

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.idle:
            self._limits.rests(self)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._limits.turns.take(self.owner, _lane(cycle.scope), _Request(self, cycle, app))

    def start_cycle(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Start to answer a request."""
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        if self.cycle is not None:
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        self._count_piece()
        if self.cycle is not None:
            super().on_body(body)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch(self._limits.config.silence_s)

    def _watch(self, seconds: float) -> None:
        """Close the connection unless it is heard of within this time."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._silent)

    def _silent(self) -> None:
        """The client has sent or read nothing for too long; one that waits for an answer may."""
        self._timer = None
        waits_for_us = not self.idle and not self.cycle.more_body and not self.flow.write_paused
        if waits_for_us or (self.flow.read_paused and not self.idle and not self.flow.write_paused):
            self._watch(self._limits.config.silence_s)
        elif not self.transport.is_closing():
            self.transport.abort()

    def reject(self, status: int, description: str) -> None:
        """Answer outside of any request, and close."""
        self._limits.leave(self)
        if self.transport.is_closing():
            return
        body = error_bytes(status, description)
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, _REASONS[status], len(body)) + body)
        self.transport.close()


def _address(name: object) -> Address | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None


def _lane(scope: HTTPScope) -> Hashable:
    """What shares a turn: the requests with one token, but its streams among themselves, as one client opens many."""
    token = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    return token, scope["path"].endswith("/events") or b"follow" in scope["query_string"]
