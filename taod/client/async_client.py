"""The asynchronous client: the daemon's HTTP interface as typed namespaces."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from taod.client.datasets import AsyncDatasets
from taod.client.events import AsyncEvents
from taod.client.files import AsyncFiles
from taod.client.find import find
from taod.client.jobs import AsyncJobs
from taod.client.logs import AsyncLogs
from taod.client.models import AsyncModels, AsyncPtms
from taod.client.networks import AsyncDevices, AsyncNetworks
from taod.client.notifications import AsyncNotifications
from taod.client.queue import AsyncQueue
from taod.client.specs import AsyncSpecs
from taod.client.sweeps import AsyncSweeps
from taod.client.tools import AsyncTools
from taod.client.transport import Rediscover, Transport
from taod.types.common import DaemonInfo, Health


class AsyncClient(Transport):
    """One user's connection to one daemon. Every call raises ClientError, or NoDaemon if no daemon answers.

    Use it as an async context manager, or `await client.aclose()` at the end.
    """

    def __init__(self, url: str, user_id: str, token: str, *, rediscover: Rediscover | None = None) -> None:
        super().__init__(url, user_id, token)
        self.rediscover = rediscover
        self.networks = AsyncNetworks(self)
        self.devices = AsyncDevices(self)
        self.datasets = AsyncDatasets(self)
        self.models = AsyncModels(self)
        self.ptms = AsyncPtms(self)
        self.specs = AsyncSpecs(self)
        self.jobs = AsyncJobs(self)
        self.sweeps = AsyncSweeps(self)
        self.logs = AsyncLogs(self)
        self.files = AsyncFiles(self)
        self.queue = AsyncQueue(self)
        self.tools = AsyncTools(self)
        self.notifications = AsyncNotifications(self)
        self.events = AsyncEvents(self)

    @classmethod
    def connect(cls, root: Path | None = None, *, url: str | None = None, token: str | None = None) -> Self:
        """A client of the daemon that `find` finds, now and after a lost connection. Raises as `find`."""
        return cls.from_info(find(root, url, token), rediscover=lambda: find(root, url, token))

    @classmethod
    def from_info(cls, info: DaemonInfo, *, rediscover: Rediscover | None = None) -> Self:
        """A client of this daemon; `rediscover` finds it again after a lost connection."""
        return cls(info.url, info.user_id, info.token, rediscover=rediscover)

    async def health(self) -> Health:
        return await self.call("GET", "/api/v1/health", Health)
