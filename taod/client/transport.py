"""HTTP requests to one daemon: address, token, errors, encoding. Base of the namespaces."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from taod.client.errors import ClientError, NoDaemon
from taod.types.common import DaemonInfo, ErrorBody

if TYPE_CHECKING:
    import httpx  # Loaded at the first request, after the dashboard has been drawn.

T = TypeVar("T")

Query = Mapping[str, Any]
Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""Called with name and values of each step of a connection (httpcore's `trace` extension)."""
Rediscover = Callable[[], DaemonInfo]
"""Finds the daemon again, since a restart may change its port and token. Raises NoDaemon. Called in a thread."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Patience(NamedTuple):
    """Seconds without data after which the daemon counts as disconnected; None: no limit."""

    read: float | None = 30.0
    write: float | None = 30.0
    connect: float = 5.0


PATIENCE = Patience()
UNBOUNDED = Patience(read=None, write=None)
"""For responses of any duration: uploads, downloads, followed logs."""
RETRY_S = 0.5
"""Pause before a request to a slow daemon is repeated."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list, and the length of the whole list."""

    items: list[T]
    total: int


class Transport:
    """A connection to one daemon as one user."""

    rediscover: Rediscover | None = None
    """Finds the daemon again after a lost connection."""
    keep_asking: Callable[[], bool] | None = None
    """Whether an unanswered GET is repeated, because the daemon is only slow."""

    def __init__(self, url: str, user_id: str, token: str) -> None:
        self.url, self.user_id, self.token = "", "", ""
        self._http: httpx.AsyncClient | None = None
        self._closed = False
        self.point_at(url, user_id, token)

    def point_at(self, url: str, user_id: str, token: str) -> None:
        """Use this daemon for all following requests."""
        self.url, self.user_id, self.token = url.rstrip("/"), user_id, token

    async def has_moved(self, rediscover: Rediscover | None) -> bool:
        """Find the daemon again and use it. Returns whether its address, user or token has changed."""
        if rediscover is None:
            return False
        try:
            info = await asyncio.to_thread(rediscover)
        except ClientError:
            return False
        found = (info.url.rstrip("/"), info.user_id, info.token)
        if found == (self.url, self.user_id, self.token):
            return False
        self.point_at(*found)
        return True

    @property
    def http(self) -> httpx.AsyncClient:
        """The connection pool, created at first use inside the running loop. Raises NoDaemon after `aclose`."""
        if self._closed:
            raise NoDaemon(f"this client of {self.url} has been closed")
        if self._http is None:
            import httpx

            # Requests to this machine ignore proxies of the environment.
            local = urlsplit(self.url).hostname in LOOPBACK
            self._http = httpx.AsyncClient(trust_env=not local, verify=trusted(self.url))
        return self._http

    async def aclose(self) -> None:
        """Close all connections: open streams end, later calls raise NoDaemon."""
        self._closed = True
        if self._http is not None:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def user_path(self, *parts: str) -> str:
        """`/api/v1/user/<user>/<parts>`, each part quoted."""
        return "/".join(["/api/v1/user", self.user_id, *(quote(part, safe="") for part in parts)])

    def headers(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", **(extra or {})}

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        patience: Patience = PATIENCE,
        accept: frozenset[int] = frozenset(),
        trace: Trace | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """A request whose response the caller reads; `accept`: further statuses that are not errors.

        Raises ClientError for any other status, NoDaemon without a response or on a lost connection.
        """
        import httpx

        try:
            async with self.http.stream(
                method,
                self.url + path,
                params=_plain(query),
                headers=self.headers(headers),
                content=content,
                timeout=httpx.Timeout(PATIENCE.read, **patience._asdict()),
                extensions={"trace": trace} if trace is not None else None,
            ) as response:
                if not response.is_success and response.status_code not in accept:
                    raise response_error(response.status_code, await response.aread())
                yield response
        except httpx.ConnectError as error:
            raise NoDaemon(f"no daemon answers at {self.url}; start one with `taod serve`") from error
        except httpx.TimeoutException as error:
            raise NoDaemon(f"the daemon at {self.url} does not answer in time ({type(error).__name__})") from error
        except httpx.TransportError as error:
            raise NoDaemon(f"the connection to {self.url} was lost: {error or type(error).__name__}") from error

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = msgspec.UNSET,
        text: tuple[bytes, str] | None = None,
    ) -> httpx.Response:
        """A request with a JSON body, or `text` with its media type, and a complete response. Raises as `stream`."""
        content, headers = (text[0], {"Content-Type": text[1]}) if text is not None else (None, None)
        if body is not msgspec.UNSET:
            content, headers = msgspec.json.encode(body), {"Content-Type": "application/json"}
        while True:
            try:
                async with self.stream(method, path, query=query, headers=headers, content=content) as response:
                    await response.aread()
                return response
            except NoDaemon:
                if method != "GET" or self._closed or self.keep_asking is None or not self.keep_asking():
                    raise
            await asyncio.sleep(RETRY_S)

    async def call(
        self, method: str, path: str, kind: type[T], *, query: Query | None = None, body: Any = msgspec.UNSET
    ) -> T:
        """A request whose response is a `kind`. Raises as `stream`."""
        return decode((await self.send(method, path, query=query, body=body)).content, kind)

    async def read_range(self, path: str, start: int, end: int, *, absent: frozenset[int]) -> bytes:
        """Bytes `start` (included) to `end` (excluded); none for a status in `absent`. Raises as `stream`."""
        try:
            async with self.stream("GET", path, headers={"Range": f"bytes={start}-{end - 1}"}) as response:
                return await response.aread()
        except ClientError as error:
            if error.status not in absent:
                raise
            return b""

    async def page(self, path: str, kind: type[T], query: Query) -> Page[T]:
        """A list of `kind`, and its total length from X-Total-Count. Raises as `stream`."""
        response = await self.send("GET", path, query=query)
        items = decode(response.content, list[kind])  # type: ignore[valid-type]
        return Page(items, int(response.headers.get("X-Total-Count", len(items))))


class Namespace:
    """The calls of one kind of resource. Each raises as `Transport.stream`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport


def trusted(url: str) -> ssl.SSLContext | bool:
    """httpx's `verify` for an address. Plain http gets an empty context, since loading certificates takes 0.1 s."""
    return True if urlsplit(url).scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def decode(content: bytes, kind: type[T]) -> T:
    """JSON as a `kind`. Raises ClientError if the daemon has another version of the contract."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise ClientError(
            502, f"the daemon's answer cannot be decoded ({error}); use the same version of taod for both"
        ) from error


def response_error(status: int, content: bytes) -> ClientError:
    """The error of a response, with the server's description if there is one."""
    try:
        return ClientError(status, msgspec.json.decode(content, type=ErrorBody).error_desc)
    except msgspec.MsgspecError:
        return ClientError(status, content.decode(errors="replace").strip()[:500] or f"HTTP status {status}")


def _plain(query: Query | None) -> dict[str, str | list[str]] | None:
    """Query parameters without absent ones; booleans as in JSON, a list as repeated parameters."""
    if not query:
        return None
    plain: dict[str, str | list[str]] = {}
    for name, value in query.items():
        if value is None or value == [] or value == ():
            continue
        if isinstance(value, bool):
            plain[name] = "true" if value else "false"
        elif isinstance(value, list | tuple | set | frozenset):
            plain[name] = [str(each) for each in value]
        else:
            plain[name] = str(value)
    return plain
