"""Finds the daemon for a command or the dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from taod.client.errors import ClientError, NoDaemon
from taod.paths import Root
from taod.types.common import DaemonInfo, Health, Login

T = TypeVar("T")

START_TOLERANCE_S = 1.0
"""Precision of the start time that the operating system reports."""
HEALTH_TIMEOUT_S = 5.0
WRONG_URL = "is it the right url?"


def find(root: Path | None = None, url: str | None = None, token: str | None = None) -> DaemonInfo:
    """The daemon at `url` with the user of `token` (a token or login key), else the daemon that serves `root`.

    Defaults: the configured root, and the token in daemon.json for this url. Raises NoDaemon with a remedy if there is
    no daemon or it does not answer, ClientError if it does not know the token.
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


def serving(root: Path) -> DaemonInfo:
    """The daemon that serves `root` according to its daemon.json, without a request to it.

    Raises NoDaemon with a remedy if there is none or its process has ended.
    """
    folder = Root(root)
    remedy = f"start one with `taod serve --root {folder.path}`"
    info = _read(folder)
    if info is None:
        raise NoDaemon(f"no daemon serves {folder.path}; {remedy}")
    if not _is_running(info):
        raise NoDaemon(f"the daemon of {folder.path} (pid {info.pid}) has ended; {remedy}")
    return info


def _configured_root() -> Path:
    from taod import config

    return config.load().root


def _alive(folder: Root) -> DaemonInfo:
    info = serving(folder.path)
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
    """Whether the daemon's process is running: same pid and start time."""
    import psutil

    try:
        process = psutil.Process(info.pid)
        return abs(process.create_time() - info.started) <= START_TOLERANCE_S and process.is_running()
    except psutil.Error:
        return False


def _health(url: str, remedy: str) -> Health:
    return _decode(_get(f"{url.rstrip('/')}/api/v1/health", remedy), Health, url)


def _log_in(url: str, token: str) -> DaemonInfo:
    """Exchange a login key for a token, or find the user of a bearer token, at the daemon."""
    health = _health(url, WRONG_URL)
    try:
        login = _decode(_get(f"{url}/api/v1/login/{quote(token, safe='')}", WRONG_URL), Login, url)
    except ClientError as error:
        if error.status not in (400, 401, 403, 404):
            raise
        login = Login(user_id=_owner(url, token), token=token)
    return DaemonInfo(url=url, pid=0, started=0.0, user_id=login.user_id, token=login.token, version=health.version)


def _owner(url: str, token: str) -> str:
    """Id of the bearer token's user, from the API's index."""
    index = _decode(_get(f"{url}/api/v1", WRONG_URL, {"Authorization": f"Bearer {token}"}), dict[str, str], url)
    for name in index:
        if name.startswith("user/"):
            return name.removeprefix("user/")
    raise NoDaemon(f"the daemon at {url} does not say whose token this is; are both the same version?")


def _decode(body: bytes, kind: type[T], url: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise NoDaemon(f"what answers at {url} is no taod daemon; {WRONG_URL}") from error


def _get(address: str, remedy: str, headers: dict[str, str] | None = None) -> bytes:
    import httpx

    from taod.client.transport import LOOPBACK, response_error, trusted

    parts = urlsplit(address)
    local = parts.hostname in LOOPBACK
    try:
        response = httpx.get(
            address, headers=headers, timeout=HEALTH_TIMEOUT_S, trust_env=not local, verify=trusted(address)
        )
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise NoDaemon(f"no daemon answers at {parts.scheme}://{parts.netloc} ({error}); {remedy}") from error
    if not response.is_success:
        raise response_error(response.status_code, response.content)
    return response.content
