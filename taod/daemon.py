"""The daemon process: a lock on its root, a bound socket, daemon.json, uvicorn, and an orderly shutdown.

`taod.services.composition` creates the services, `taod.api` the HTTP application.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import logging.handlers
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import psutil
import uvicorn
from litestar import Litestar

from taod import __version__, atomic_file
from taod.api.app import create_app
from taod.clock import SystemClock
from taod.config import Config
from taod.connections import BoundedProtocol, Connections, raise_file_limit
from taod.errors import ConfigError, Conflict
from taod.paths import Root
from taod.services import Services
from taod.services.composition import open_services
from taod.terminal import in_lines
from taod.types.common import DaemonInfo

log = logging.getLogger("taod")

DRAIN = signal.SIGUSR1
"""Signal: start no new runs, and exit when no run is left."""
CANCEL_ALL = signal.SIGUSR2
"""Signal: cancel every job, and exit when no run is left."""
SHUTDOWN_S = 3
"""Seconds for open requests to finish when the server stops."""
SWITCH_S = 0.001
"""Longest time for which one thread computes while the event loop waits."""
ACCEPTED_AT_ONCE = 64
"""Connections that one turn of the event loop accepts."""
KEEP_ALIVE_S = 12
"""Longer than clients keep idle connections (httpx: 5 s), so that no request uses a connection being closed."""


@contextmanager
def root_lock(root: Root) -> Iterator[None]:
    """Lock the root for this process; the kernel releases the lock however the process ends.

    Raises Conflict naming the daemon that holds it.
    """
    with root.lock_file.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"{root.path} is served by another daemon{_who(root)}; one daemon serves a root") from None
        yield


def _who(root: Root) -> str:
    try:
        info = msgspec.json.decode(root.daemon_file.read_bytes(), type=DaemonInfo)
    except (OSError, msgspec.DecodeError):
        return ""
    return f" (pid {info.pid}, {info.url}); `taod tui --root {root.path}` attaches to it"


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, bound early so that the number of port 0 is known.

    Raises ConfigError naming host, port and remedy.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"server.port = {port}: cannot listen on {host}:{port} ({error.strerror}); "
            "another port by `--port N`, a free one by `--port 0`"
        ) from error
    listener.listen(1024)
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """The http URL of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn's server that calls `ready` when it answers, and ends event streams at shutdown before it waits for
    them."""

    def __init__(self, config: uvicorn.Config, services: Services, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._services, self._ready = services, ready

    def end_when(self, over: Coroutine[object, object, None]) -> None:
        """Stop serving once `over` has ended."""

        async def end() -> None:
            try:
                await over
            except Exception:
                log.exception("the runs could not all be ended")
            self.should_exit = True

        self._ending = asyncio.get_running_loop().create_task(end(), name="end of the daemon")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            loop, scheduler = asyncio.get_running_loop(), self._services.scheduler
            loop.add_signal_handler(DRAIN, lambda: self.end_when(scheduler.drain()))
            loop.add_signal_handler(CANCEL_ALL, lambda: self.end_when(scheduler.cancel_all()))
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._services.end_streams()
        await super().shutdown(sockets)


def serve(config: Config, announce: Callable[[DaemonInfo, Services], None]) -> int:
    """Serve until SIGINT or SIGTERM; runs continue. `announce` is called once, when the daemon answers.

    Returns the exit code. Raises TaodError where it cannot start (root taken, port taken, newer store).
    """
    root = Root(config.root)
    root.make()
    with root_lock(root):
        _log_to(root.log_file)
        connections = Connections(config.server, raise_file_limit())
        listener = bind(config.server.host, config.server.port)
        services = open_services(config, SystemClock())
        user, token = services.users.ensure_first()
        info = DaemonInfo(
            url=url_of(listener),
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            user_id=user.id,
            token=token,
            root=str(root.path),
            version=__version__,
        )

        def ready() -> None:
            atomic_file.write(root.daemon_file, msgspec.json.format(msgspec.json.encode(info), indent=2), mode=0o600)
            log.info("serving %s from %s", info.url, root.path)
            announce(info, services)

        # A thread that computes may hold the interpreter only shortly: a request waits for it several times.
        sys.setswitchinterval(SWITCH_S)
        server = _Server(_uvicorn_config(create_app(services), connections), services, ready)
        # uvicorn raises the signal that stopped it again at its end, when nothing is left to stop.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        gc.collect()
        gc.freeze()  # Objects created so far stay: exclude them from later collections.
        try:
            # libuv accepts one connection in a turn of the loop, for each socket: a burst would make others wait.
            server.run(sockets=[listener, *(listener.dup() for _ in range(ACCEPTED_AT_ONCE - 1))])
        finally:
            root.daemon_file.unlink(missing_ok=True)
            listener.close()
            services.store.close()
            log.info("stopped")
        return 0 if server.started else 1


def _uvicorn_config(app: Litestar, connections: Connections) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=partial(BoundedProtocol, limits=connections),  # type: ignore[arg-type]
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )


class SafeFormatter(logging.Formatter):
    """Formats log entries without control characters, for terminals."""

    def format(self, record: logging.LogRecord) -> str:
        return in_lines(super().format(record))


def _log_to(path: Path) -> None:
    """Write the daemon's log to a file in its root; warnings go to the terminal too."""
    to_file = logging.handlers.RotatingFileHandler(path, maxBytes=10_000_000, backupCount=3)
    to_file.setFormatter(SafeFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    to_terminal = logging.StreamHandler()
    to_terminal.setLevel(logging.WARNING)
    to_terminal.setFormatter(SafeFormatter("taod: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[to_file, to_terminal], force=True)
    for chatty in ("httpx", "watchfiles"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for chatty in ("uvicorn.error", "multipart", "python_multipart"):  # warn of each malformed request, of anyone
        logging.getLogger(chatty).setLevel(logging.ERROR)
    quiet_uvicorn()


def quiet_uvicorn() -> None:
    """Drop uvicorn's log entry for a failed request: `request_id_middleware` logs one with the request's id."""
    logging.getLogger("uvicorn.error").addFilter(_of_no_request)


def _of_no_request(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Exception in ASGI application")
