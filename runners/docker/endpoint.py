"""Finds a container engine and sends it quick requests: plain HTTP, without the SDK."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec

PROBE_S = 2.0
"""Time limit of a request; an engine that has not answered by then counts as not running."""


class NoEngine(Exception):
    """No engine answers; the text names the searched places."""


def find(configured: str) -> str:
    """The engine's URL: as configured, from DOCKER_HOST, or the first usual socket that exists.

    Raises NoEngine.
    """
    if chosen := configured or os.environ.get("DOCKER_HOST", ""):
        return chosen if "://" in chosen else f"unix://{chosen}"
    places = usual()
    for place in places:
        if place.exists():
            return f"unix://{place}"
    raise NoEngine(f"there is no container engine: none of {', '.join(map(str, places))} is there")


def usual() -> list[Path]:
    """The usual sockets of Docker and podman, including the user's own."""
    own = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    return [
        Path("/var/run/docker.sock"),
        own / "docker.sock",
        own / "podman/podman.sock",
        Path("/run/podman/podman.sock"),
    ]


def ask(url: str, path: str) -> bytes:
    """The body of GET `path`. Raises NoEngine without an answer, FileNotFoundError for a 404."""
    try:
        with contextlib.closing(_connection(url)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
    except PermissionError as error:
        raise NoEngine(f"{url} may not be used by this user: {error.strerror}") from error
    except (OSError, http.client.HTTPException) as error:
        raise NoEngine(f"no container engine answers at {url}: {error}") from error
    if answer.status == 404:
        raise FileNotFoundError(path)
    if answer.status >= 400:
        raise NoEngine(f"{url} answers {answer.status}: {body.decode(errors='replace')[:200]}")
    return body


def has_image(url: str, image: str) -> bool:
    """Whether the engine has the image. Raises NoEngine."""
    return labels(url, image) is not None


class _ImageConfig(msgspec.Struct, rename="pascal"):
    labels: dict[str, str] | None = None


class _Image(msgspec.Struct, rename="pascal"):
    config: _ImageConfig | None = None


def labels(url: str, image: str) -> dict[str, str] | None:
    """The labels of an image of the engine; None if it has no such image. Raises NoEngine."""
    try:
        found = msgspec.json.decode(ask(url, f"/images/{quote(image, safe='/:@')}/json"), type=_Image)
    except FileNotFoundError:
        return None
    return (found.config and found.config.labels) or {}


class EngineInfo(msgspec.Struct, rename="pascal"):
    """The engine's properties that taod uses."""

    server_version: str = ""
    runtimes: dict[str, object] = {}
    docker_root_dir: str = ""
    live_restore_enabled: bool = False
    operating_system: str = ""


def facts(url: str) -> EngineInfo:
    """Reads the engine's properties. Raises NoEngine."""
    return msgspec.json.decode(ask(url, "/info"), type=EngineInfo)


class _Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PROBE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PROBE_S)
        self.sock.connect(self._path)


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return _Unix(parts.path)
    if parts.scheme in ("tcp", "http"):
        return http.client.HTTPConnection(parts.hostname or "", parts.port or 2375, timeout=PROBE_S)
    raise NoEngine(f"{url}: an engine is reached by unix:// or tcp://")
