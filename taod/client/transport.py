"""One HTTP exchange: address, token, errors, encoding. What the resources' calls stand on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from taod.client.errors import ClientError, NoDaemon
from taod.types.common import DaemonInfo, ErrorBody

if TYPE_CHECKING:
    import httpx  # Loaded with the first exchange: the dashboard has painted by then.

T = TypeVar("T")

Query = Mapping[str, Any]
Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""Called with the name and the values of each step of a connection: httpcore's `trace` extension."""
Rediscover = Callable[[], DaemonInfo]
"""Finds the daemon again: after a restart its port and token may be others. Raises NoDaemon. Called in a thread."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Patience(NamedTuple):
    """Seconds that the daemon may be silent (None: for ever) before it counts as gone."""

    read: float | None = 30.0
    write: float | None = 30.0
    connect: float = 5.0


PATIENCE = Patience()
UNBOUNDED = Patience(read=None, write=None)
"""For answers that take as long as the work behind them: uploads, downloads, followed logs."""
AGAIN_S = 0.5
"""Between two askings of a daemon that is slow."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list, and how many there are in all."""

    items: list[T]
    total: int


class Transport:
    """A connection to one daemon as one user."""

    rediscover: Rediscover | None = None
    """Who is asked where the daemon is now, when a line has broken."""
    keep_asking: Callable[[], bool] | None = None
    """Who says whether a reading that got no answer is to be asked again, because the daemon is there and just slow."""

    def __init__(self, url: str, user_id: str, token: str) -> None:
        self.url, self.user_id, self.token = "", "", ""
        self._http: httpx.AsyncClient | None = None
        self._closed = False
        self.point_at(url, user_id, token)

    def point_at(self, url: str, user_id: str, token: str) -> None:
        """Speak to this daemon from the next call on: a restarted daemon may have another port and token."""
        self.url, self.user_id, self.token = url.rstrip("/"), user_id, token

    @property
    def http(self) -> httpx.AsyncClient:
        """The connection pool, made at first use inside the running loop. Raises NoDaemon after `aclose`."""
        if self._closed:
            raise NoDaemon(f"this client of {self.url} has been closed")
        if self._http is None:
            import httpx

            # A proxy of the environment must not catch what is meant for this machine.
            local = urlsplit(self.url).hostname in LOOPBACK
            self._http = httpx.AsyncClient(trust_env=not local, verify=trusted(self.url))
        return self._http

    async def aclose(self) -> None:
        """Close all connections for good; streams that are open end, and calls that come later raise NoDaemon."""
        self._closed = True
        if self._http is not None:
            await self._http.aclose()

    async def __aenter__(self) -> Any:
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
        content: Any = None,
        patience: Patience = PATIENCE,
        accept: frozenset[int] = frozenset(),
        trace: Trace | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """An exchange whose answer is read by the caller; `accept` are statuses that are no refusals beside successes.

        Raises ClientError for an answer that is no success, NoDaemon when nobody answers or the line breaks.
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
                    raise refusal(response.status_code, await response.aread())
                yield response
        except httpx.ConnectError as error:
            raise NoDaemon(f"no daemon answers at {self.url}; start one with `taod serve`") from error
        except httpx.TimeoutException as error:
            raise NoDaemon(f"the daemon at {self.url} does not answer in time ({type(error).__name__})") from error
        except httpx.TransportError as error:
            raise NoDaemon(f"the connection to {self.url} broke: {error or type(error).__name__}") from error

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = msgspec.UNSET,
        text: tuple[bytes, str] | None = None,
    ) -> httpx.Response:
        """An exchange with a JSON body, or `text` with its media type, and an answer read whole. Raises as `stream`."""
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
            await asyncio.sleep(AGAIN_S)

    async def call(
        self, method: str, path: str, kind: type[T], *, query: Query | None = None, body: Any = msgspec.UNSET
    ) -> T:
        """An exchange whose answer is a `kind`. Raises as `stream` does."""
        return decode((await self.send(method, path, query=query, body=body)).content, kind)

    async def page(self, path: str, kind: type[T], query: Query) -> Page[T]:
        """A list of `kind` and the total that the daemon tells in X-Total-Count."""
        response = await self.send("GET", path, query=query)
        items = decode(response.content, list[kind])  # type: ignore[valid-type]
        return Page(items, int(response.headers.get("X-Total-Count", len(items))))


def trusted(url: str) -> ssl.SSLContext | bool:
    """What httpx shall verify an address with: reading all certificates takes 0.1 s, which plain http can save.

    The context for plain http trusts nobody, so nothing is lost should it meet TLS after all.
    """
    return True if urlsplit(url).scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def decode(content: bytes, kind: type[T]) -> T:
    """JSON as a `kind`. Raises ClientError when the daemon speaks another version of the contract."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise ClientError(
            502, f"the daemon's answer is not understood ({error}); are both the same version?"
        ) from error


def refusal(status: int, content: bytes) -> ClientError:
    """The error that an answer stands for, with the server's own words where it has some."""
    try:
        return ClientError(status, msgspec.json.decode(content, type=ErrorBody).error_desc)
    except msgspec.MsgspecError:
        return ClientError(status, content.decode(errors="replace").strip()[:500] or f"HTTP status {status}")


def _plain(query: Query | None) -> dict[str, str | list[str]] | None:
    """Query parameters without the absent ones; truth values as JSON writes them, several values one by one."""
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
