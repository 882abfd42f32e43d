"""Which account of this machine is behind a TCP connection: one exact question to the kernel (sock_diag(7)), 20 µs."""

from __future__ import annotations

import socket
import struct

Address = tuple[str, int]

_SOCK_DIAG, _BY_FAMILY, _REQUEST = 4, 20, 1
"""NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST"""
_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBxI")
"""The first fields of inet_diag_req_v2."""
_UID_AT = _HEADER.size + 4 + 48 + 12
"""Offset of idiag_uid in an answer: after the state, the addresses, and three numbers."""
_ANY_STATE, _NO_COOKIE = 0xFFFFFFFF, b"\xff" * 8


class SocketAccounts:
    """Asks the kernel over one socket."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._number = 0

    def of(self, local: Address, remote: Address) -> str:
        """The number of the account that has the socket at `local`, connected with `remote`; `?` if the kernel does
        not say."""
        family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
        try:
            ends = [socket.inet_pton(family, address[0]).ljust(16, b"\0") for address in (local, remote)]
            ports = struct.pack("!HH", local[1], remote[1])
            question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, _ANY_STATE)
            answer = self._ask(question + ports + b"".join(ends) + bytes(4) + _NO_COOKIE)
        except (OSError, ValueError):
            return "?"
        return str(struct.unpack_from("=I", answer, _UID_AT)[0])

    def close(self) -> None:
        """Close the socket; the next question opens another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, body: bytes) -> bytes:
        """The answer, which the kernel has ready when `send` returns. Raises OSError, ValueError."""
        if self._socket is None:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _SOCK_DIAG)
        self._number += 1
        try:
            self._socket.send(_HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST, self._number, 0) + body)
            answer = self._socket.recv(512)
        except OSError:
            self.close()
            raise
        _, kind, _, number, _ = _HEADER.unpack_from(answer)
        if kind != _BY_FAMILY or number != self._number or len(answer) < _UID_AT + 4:
            if number != self._number:
                self.close()
            raise ValueError("the kernel does not name the account")
        return answer
