"""`client.queue`: the queue of all users."""

from __future__ import annotations

import msgspec

from taod.client.transport import Namespace, Page
from taod.types.job import JobView
from taod.types.queue import QueuePatch, QueueState

PATH = "/api/v1/queue"


class AsyncQueue(Namespace):
    """The queue of all users, and this user's jobs in it."""

    async def state(self) -> QueueState:
        return await self._transport.call("GET", PATH, QueueState)

    async def pause(self, reason: str = "") -> QueueState:
        """Start no queued job until `resume`; running jobs continue."""
        body = QueuePatch(True, reason or msgspec.UNSET)
        return await self._transport.call("PATCH", PATH, QueueState, body=body)

    async def resume(self) -> QueueState:
        return await self._transport.call("PATCH", PATH, QueueState, body=QueuePatch(False))

    async def list(self, *, skip: int | None = None, size: int | None = None) -> Page[JobView]:
        """This user's queued jobs in the order of service, each with its position."""
        query = {"skip": skip, "size": size}
        return await self._transport.page(self._transport.user_path("queue"), JobView, query)
