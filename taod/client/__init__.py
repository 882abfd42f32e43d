"""The HTTP client that the command line, the quickstart and the dashboard share; it knows the types and nothing else.

Importing this package costs nothing: httpx is loaded when `Client` or `find` is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taod.client.errors import ClientError, NoDaemon

if TYPE_CHECKING:
    from taod.client.find import find
    from taod.client.http import Client

__all__ = ["Client", "ClientError", "NoDaemon", "find"]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from taod.client.http import Client

        return Client
    if name == "find":
        from taod.client.find import find

        return find
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
