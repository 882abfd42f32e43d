"""Find the daemon that a command or the dashboard should speak to."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec

from taod.client.errors import ClientError, NoDaemon
from taod.paths import Root
from taod.types.common import DaemonInfo, Health, Login

START_TOLERANCE_S = 1.0
"""The operating system tells a process's start time with less precision than it is compared with."""
HEALTH_TIMEOUT_S = 5.0


def find(root: Path | None = None, url: str | None = None, token: str | None = None) -> DaemonInfo:
    """The daemon at `url` (as the user whose token or key `token` is), else the one that serves `root`.

    Without a root: the configured one. Without a token: the one that daemon.json has for this url. Raises NoDaemon
    with the remedy when there is none, when it has died, or when it does not answer; ClientError when the token is
    not known there.
    """
    folder = Root(root if root is not None else _configured_root())
    if url is None:
        return _alive(folder)
    info = _read(folder)
    if info is not None and info.url.rstrip("/") == url.rstrip("/") and token in (None, info.token):
        _health(info.url, f"start one with `taod serve --root {folder.path}`")
        return info
    if token is None:
        raise NoDaemon(
            f"{url} is not the daemon of {folder.path}, so its token is not known here; give it with --token"
        )
    return _log_in(url.rstrip("/"), token)


def _configured_root() -> Path:
    from taod import config

    return config.load().root


def _alive(folder: Root) -> DaemonInfo:
    remedy = f"start one with `taod serve --root {folder.path}`"
    info = _read(folder)
    if info is None:
        raise NoDaemon(f"no daemon serves {folder.path}; {remedy}")
    if not _is_running(info):
        raise NoDaemon(f"the daemon of {folder.path} (pid {info.pid}) has ended; {remedy}")
    _health(info.url, f"it is process {info.pid}: `taod stop --root {folder.path}`, then `taod serve`")
    return info


def _read(folder: Root) -> DaemonInfo | None:
    try:
        return msgspec.json.decode(folder.daemon_file.read_bytes(), type=DaemonInfo)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise NoDaemon(f"{folder.daemon_file} cannot be read: {error}") from error


def _is_running(info: DaemonInfo) -> bool:
    """Whether the process of daemon.json still lives: the same pid started at the same time."""
    import psutil

    try:
        process = psutil.Process(info.pid)
        return abs(process.create_time() - info.started) <= START_TOLERANCE_S and process.is_running()
    except psutil.Error:
        return False


def _health(url: str, remedy: str) -> Health:
    response = _get(f"{url.rstrip('/')}/api/v1/health", remedy)
    try:
        return msgspec.json.decode(response, type=Health)
    except msgspec.MsgspecError as error:
        raise NoDaemon(f"what answers at {url} is no taod daemon; {remedy}") from error


def _log_in(url: str, token: str) -> DaemonInfo:
    """Ask the daemon whose token or key it is."""
    health = _health(url, "is it the right url?")
    body = _get(f"{url}/api/v1/login/{quote(token, safe='')}", "is it the right url?")
    login = msgspec.json.decode(body, type=Login)
    return DaemonInfo(url=url, pid=0, started=0.0, user_id=login.user_id, token=login.token, version=health.version)


def _get(address: str, remedy: str) -> bytes:
    import httpx

    from taod.client.transport import LOOPBACK, refusal

    parts = urlsplit(address)
    try:
        response = httpx.get(address, timeout=HEALTH_TIMEOUT_S, trust_env=parts.hostname not in LOOPBACK)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise NoDaemon(f"no daemon answers at {parts.scheme}://{parts.netloc} ({error}); {remedy}") from error
    if not response.is_success:
        refused: ClientError = refusal(response.status_code, response.content)
        raise refused
    return response.content
