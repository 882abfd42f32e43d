"""The HTTP client: `AsyncClient`, and `Client` for code without an event loop. Depends only on the types.

Importing this package is cheap: the clients are loaded at first use, httpx with the first request.
`taod.client.find.find` finds the daemon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taod.client.errors import ClientError, NoDaemon

if TYPE_CHECKING:
    from taod.client.async_client import AsyncClient
    from taod.client.sync_client import Client

__all__ = ["AsyncClient", "Client", "ClientError", "NoDaemon"]


def __getattr__(name: str) -> Any:
    if name == "AsyncClient":
        from taod.client.async_client import AsyncClient

        return AsyncClient
    if name == "Client":
        from taod.client.sync_client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
