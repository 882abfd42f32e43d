"""Bounds on connections, which uvicorn lacks: heads, silence, slow readers, and how many there are, of whom.

A connection belongs to its peer's address; on loopback, where all users have the same one, to the account behind it.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from taod.api.responses import error_bytes
from taod.config import LOOPBACK, ServerConfig

log = logging.getLogger(__name__)

RESERVED_FILES = 256
"""Descriptors for the store, runs, logs and health checks, beside connections."""
MOST_FILES = 65536
"""A higher limit makes tools slow that close all descriptors that they may have."""
HEALTH_CONNECTIONS = 16
"""Beyond `server.connections`, for connections that are closed again at once: they get an answer."""
NAMING_SHARE = 20
"""The system's table of connections, whose reading takes 2 to 300 ms, is read for 1/20 of the time at most."""
_REASONS = {431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}


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
        self.open: dict[BoundedProtocol, None] = {}
        """In the order of their last request."""
        self._clock = time.monotonic
        self._name_after = 0.0

    def admit(self, new: BoundedProtocol) -> bool:
        """Add a connection, for which an idle one may be closed. False: the limit is reached."""
        self.open[new] = None
        per_peer = min(self.config.connections_per_peer, self.most)
        if len(self.open) <= per_peer:
            return True
        self._name_accounts()
        owners = Counter(each.owner for each in self.open)
        crowded = owners[new.owner] > per_peer
        if not crowded and len(self.open) <= self.most:
            return True
        largest = new.owner if crowded else owners.most_common(1)[0][0]
        idle = [each for each in self.open if each.idle and each is not new and each.owner == largest]
        if not idle:
            return False
        # One that has never sent a request goes before a client's kept connection, whatever their age.
        closed = next((each for each in idle if not each.asked), idle[0])
        # At once: a burst admits many before the loop reports one as lost.
        del self.open[closed]
        closed.transport.close()
        return True

    def touch(self, connection: BoundedProtocol) -> None:
        """A connection has sent a request."""
        if self.open.pop(connection, 0) is None:
            self.open[connection] = None

    def _name_accounts(self) -> None:
        """Find the accounts behind the connections of this machine that have none yet."""
        began = self._clock()
        if began < self._name_after:
            return
        unnamed = [each for each in self.open if each.owner in LOOPBACK and each.client is not None]
        if unnamed:
            accounts = _accounts()
            for each in unnamed:
                assert each.client is not None
                each.owner = f"account {accounts.get(each.client[1], '?')}"
            now = self._clock()
            self._name_after = now + NAMING_SHARE * (now - began)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol within the limits of `[server]`."""

    def __init__(self, *arguments: Any, limits: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._head_bytes: int | None = 0
        """Bytes of an unfinished head; None while there is none."""
        self._timer: asyncio.TimerHandle | None = None
        self.owner = ""
        self.asked = False
        """Whether it has sent a request."""

    @property
    def idle(self) -> bool:
        """Whether no request of it is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.owner = self.client[0] if self.client is not None else ""
        if not self._limits.admit(self):
            self._reject(503, "there are too many connections; close some, or raise server.connections in taod.toml")
            return
        self._watch(self._limits.config.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._limits.open.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head_bytes is not None:
            if not self._head_bytes:
                self._watch(self._limits.config.head_s)
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes is None:
            self._watch(self._limits.config.silence_s)
        elif self._head_bytes > self._limits.config.head_bytes:
            self._reject(431, "the head of the request is over server.head_bytes; send less")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_bytes is None:  # Another request in the same piece.
            self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._head_bytes, self.asked = None, True
        self._limits.touch(self)
        head = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if head > self._limits.config.head_bytes:
            self._reject(431, "the head of the request is over server.head_bytes; send less")
            return
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        if self.cycle is not None:
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
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

    def _reject(self, status: int, description: str) -> None:
        """Answer outside of any request, and close."""
        if self.transport.is_closing():
            return
        body = error_bytes(status, description)
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, _REASONS[status], len(body)) + body)
        self.transport.close()


def _accounts() -> dict[int, str]:
    """Local port of each TCP connection of this machine → the account that has it."""
    found: dict[int, str] = {}
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            found.setdefault(int(fields[1].rpartition(":")[2], 16), fields[7])
    return found
