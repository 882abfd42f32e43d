"""The HTTP client that the command line, the quickstart and the dashboard share; it knows the types and nothing else.

Importing this package costs nothing: `Client` is loaded when it is first asked for, httpx with its first call.
The daemon is found by `taod.client.find.find`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taod.client.errors import ClientError, NoDaemon

if TYPE_CHECKING:
    from taod.client.http import Client

__all__ = ["Client", "ClientError", "NoDaemon"]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from taod.client.http import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
