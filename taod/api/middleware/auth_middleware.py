"""Checks Host, Origin and bearer token before routing, and answers HEAD and OPTIONS."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send
from litestar.utils.path import normalize_path

from taod.api.responses import answer_error
from taod.config import LOOPBACK, ServerConfig
from taod.errors import Forbidden, TaodError, Unauthorized
from taod.services.users import Users

OPEN_PREFIXES = ("/api/v1/login/", "/api/v1/health/")
OPEN_PATHS = frozenset({"/", "/api/v1/health", "/openapi.json", "/openapi.yaml", "/redoc", "/swagger"})
"""Accessible without a token: health, login, and the documentation, which has no data of this machine."""
WILDCARDS = frozenset({"0.0.0.0", "::"})
UNROUTED_METHOD: Final = "TRACE"
"""A method without routes: the Allow header of its 405 answers OPTIONS."""
_HOST = re.compile(
    r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^\s:\[\]/@]+))(?::\d{0,5})?|(?P<bare>[0-9a-f:.]+)", re.ASCII
)
SINGLE = (b"host", b"origin", b"authorization")
"""Headers that a request may have only once: programs differ in which of two they read."""
_BEARER = "bearer "


class AuthMiddleware:
    """ASGI middleware that sets `scope["user"]` to the caller's UserRecord, or rejects the request."""

    def __init__(self, app: ASGIApp, users: Users, server: ServerConfig) -> None:
        self._app = app
        self._users = users
        self._hosts = known_hosts(server)
        self._any_address = server.host in WILDCARDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        http = scope
        method = http["method"]
        if method == "HEAD":
            send, receive = _without_body(send)
        try:
            self._authenticate(http)
        except TaodError as error:
            await answer_error(error, send)
            return
        if method == "HEAD":
            http["method"] = "GET"
        elif method == "OPTIONS":
            http["method"] = UNROUTED_METHOD
            send = _allow_only(send)
        await self._app(http, receive, send)

    def _authenticate(self, scope: HTTPScope) -> None:
        """Check Host and Origin, and set the user. Raises Forbidden, Unauthorized."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        for single in SINGLE:
            if sum(name == single for name, _ in scope["headers"]) > 1:
                raise Forbidden(f"there is more than one {single.decode().title()} header; send one")
        if not self._is_known_host(host_name(host)):
            raise Forbidden(
                f"Host {host!r} is not a name of this server; add it to server.allowed_hosts if it should be one"
            )
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            raise Forbidden(f"Origin {origin!r} may not use this server from a browser; only pages of its own may")
        scope["user"] = self._caller(headers.get(b"authorization"), normalize_path(scope["path"]))

    def _is_known_host(self, name: str) -> bool:
        return name in self._hosts or (self._any_address and _is_address(name))

    def _caller(self, authorization: str | None, path: str) -> Any:
        user, is_open = None, path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)
        if not is_open:
            self._users.verify_store()
        if authorization is not None and authorization[: len(_BEARER)].lower() == _BEARER:
            user = self._users.by_bearer(authorization[len(_BEARER) :].strip())
        if user is not None or is_open:
            return user
        what = "no token was sent" if authorization is None else "the token is not known (any more)"
        raise Unauthorized(
            f"{what}; send Authorization: Bearer <token>, from daemon.json or GET /api/v1/login/<key>",
            headers={"WWW-Authenticate": "Bearer"},
        )


def known_hosts(server: ServerConfig) -> frozenset[str]:
    """The allowed names of a Host header: the bound address, loopback names, and configured ones."""
    names: set[str] = {host_name(name) for name in server.allowed_hosts} | {host_name(server.host)}
    if server.host in LOOPBACK or server.host in WILDCARDS:
        names |= {host_name(name) for name in LOOPBACK}
    if server.host in WILDCARDS:
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(names)


def host_name(host: str) -> str:
    """The name in a Host header: without port and brackets, in lower case; empty if it is malformed.

    An IPv6 address may lack its brackets.
    """
    match = _HOST.fullmatch(host.strip().lower())
    return (match["address"] or match["name"] or match["bare"] or "") if match else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _without_body(send: Send) -> tuple[Send, Receive]:
    """Send and receive of a HEAD request: only headers are sent, then the application sees a disconnect."""
    done = False

    async def headers_only(message: Any) -> None:
        nonlocal done
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            done = True

    async def disconnected() -> Any:
        if done:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    return headers_only, disconnected


def _allow_only(send: Send) -> Send:
    """A `send` that turns a 405 into the response to OPTIONS."""
    not_allowed = False

    async def send_allow(message: Any) -> None:
        nonlocal not_allowed
        if message["type"] == "http.response.start" and message["status"] == 405:
            not_allowed = True
            allow = [(name, value) for name, value in message["headers"] if name.lower() == b"allow"]
            message = {"type": "http.response.start", "status": 204, "headers": allow}
        elif not_allowed:
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    return send_allow
