"""The dashboard in a local browser: textual-serve behind an authentication guard, which it lacks.

A page acts as the user, so the guard accepts only requests with this run's token for this address: other users of the
machine do not have the token, and pages of other sites do not have an allowed Origin.
"""

from __future__ import annotations

import secrets
import shlex
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from taod import installed, program
from taod.client import ClientError

HOST = "127.0.0.1"
PARAMETER = "token"
SHUTDOWN_S = 2.0
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self' ws://{host}; frame-ancestors 'none'"
)
"""Resources come from this server only, and no other page may embed this one."""


def serve(options: list[str], port: int, token: str | None = None, say: Callable[[str], None] = print) -> int:
    """Serve `taod tui OPTIONS` on the loopback interface until a signal ends it; port 0 takes a free one.

    Prints one line with the address to open. Raises ClientError where the library is missing or the port is taken.
    """
    try:
        from aiohttp import web
    except ImportError as error:
        raise ClientError(0, missing()) from error
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise ClientError(0, f"port {port} of {HOST} cannot be used: {error.strerror}; give another --port") from error
    port = listening.getsockname()[1]
    token = token or secrets.token_urlsafe(24)
    app = guarded_app(program.module("taod", "tui", *options), port, token)

    async def create_app() -> web.Application:
        application: web.Application = await app
        say(f"dashboard at http://{HOST}:{port}/?{PARAMETER}={token} · Ctrl-C stops it; jobs continue")
        return application

    web.run_app(create_app(), sock=listening, shutdown_timeout=SHUTDOWN_S, print=None, access_log=None)
    return 0


def missing() -> str:
    """The error without the extra."""
    return f"the dashboard in a browser needs textual-serve: `{installed.add('web')}`"


async def guarded_app(command: list[str], port: int, token: str) -> Any:
    """The web application that runs `command` for each open page, behind the guard. Raises ClientError if
    textual-serve is missing."""
    try:
        from textual_serve.server import Server
    except ImportError as error:
        raise ClientError(0, missing()) from error

    class QuietServer(Server):
        async def on_startup(self, app: Any) -> None:
            """`serve` prints the address."""

    server = QuietServer(shlex.join(command), host=HOST, port=port, title="taod")
    app = await server._make_app()
    app.middlewares.append(guard(port, token))
    app.on_response_prepare.append(add_security_headers)
    return app


def guard(port: int, token: str) -> Any:
    """A middleware that requires this address as Host and Origin, and this token in the URL or, later, in a cookie."""
    from aiohttp import web

    hosts = {f"{HOST}:{port}", f"localhost:{port}"}
    cookie = f"taod-{port}"
    handler_type = Callable[[web.Request], Awaitable[web.StreamResponse]]

    @web.middleware
    async def check(request: web.Request, handler: handler_type) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        origin = request.headers.get("Origin")
        if host not in hosts or (origin is not None and origin not in {f"http://{each}" for each in hosts}):
            return web.Response(status=403, text=f"This is only for http://{HOST}:{port}, opened directly.\n")
        if (given := request.query.get(PARAMETER)) is not None and request.method == "GET":
            if not _same(given, token):
                return _unauthorized()
            answer = web.Response(status=303, headers={"Location": request.path})
            answer.set_cookie(cookie, token, httponly=True, samesite="Strict", path="/")
            return answer
        if not _same(request.cookies.get(cookie, ""), token):
            return _unauthorized()
        return await handler(request)

    def _unauthorized() -> web.Response:
        return web.Response(status=401, text="Open the address that `taod tui --web` printed, with its token.\n")

    return check


async def add_security_headers(request: Any, response: Any) -> None:
    """Add security headers to a response."""
    response.headers["Content-Security-Policy"] = POLICY.format(host=request.headers.get("Host", HOST))
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"


def _same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode(), token.encode())
