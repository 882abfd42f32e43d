"""The daemon's whole HTTP surface as one typed, asynchronous client."""

from __future__ import annotations

from typing import Self

from taod.client.catalogue import CatalogueCalls
from taod.client.datasets import DatasetCalls
from taod.client.events import EventCalls
from taod.client.files import FileCalls
from taod.client.jobs import JobCalls
from taod.client.logs import LogCalls
from taod.client.models import ModelCalls
from taod.client.queue import QueueCalls
from taod.client.reviews import ReviewCalls
from taod.client.specs import SpecCalls
from taod.client.sweeps import SweepCalls
from taod.client.transport import Page, Rediscover
from taod.types.common import DaemonInfo, Health
from taod.types.device import Device
from taod.types.network import NetworkInfo

__all__ = ["Client", "Page"]


class Client(
    CatalogueCalls,
    DatasetCalls,
    ReviewCalls,
    ModelCalls,
    SpecCalls,
    JobCalls,
    QueueCalls,
    SweepCalls,
    LogCalls,
    FileCalls,
    EventCalls,
):
    """One user's connection to one daemon; every call raises ClientError, or NoDaemon when nobody answers.

    Use it as an async context manager, or `await client.aclose()` at the end.
    """

    @classmethod
    def of(cls, info: DaemonInfo, *, rediscover: Rediscover | None = None) -> Self:
        """A client for a daemon that `find` found; event streams that break ask `rediscover` where it is now."""
        client = cls(info.url, info.user_id, info.token)
        client.rediscover = rediscover
        return client

    async def __aenter__(self) -> Self:
        return self

    async def health(self) -> Health:
        return await self.call("GET", "/api/v1/health", Health)

    async def networks(self) -> list[NetworkInfo]:
        return await self.call("GET", "/api/v1/networks", list[NetworkInfo])

    async def network(self, name: str) -> NetworkInfo:
        return await self.call("GET", f"/api/v1/networks/{name}", NetworkInfo)

    async def devices(self) -> list[Device]:
        return await self.call("GET", "/api/v1/devices", list[Device])
