"""Calls about the queue as a whole."""

from __future__ import annotations

import msgspec

from taod.client.transport import Page, Transport
from taod.types.job import JobView
from taod.types.queue import QueuePatch, QueueState


class QueueCalls(Transport):
    """The queue of all users, and this user's place in it."""

    async def queue(self) -> QueueState:
        return await self.call("GET", "/api/v1/queue", QueueState)

    async def pause_queue(self, reason: str = "") -> QueueState:
        """Start nothing that is queued until it is opened again; what runs goes on."""
        return await self.call("PATCH", "/api/v1/queue", QueueState, body=QueuePatch(True, reason or msgspec.UNSET))

    async def open_queue(self) -> QueueState:
        return await self.call("PATCH", "/api/v1/queue", QueueState, body=QueuePatch(False))

    async def queued(self, *, skip: int | None = None, size: int | None = None) -> Page[JobView]:
        """This user's queued jobs in the order of service, each with its position."""
        return await self.page(self.user_path("queue"), JobView, {"skip": skip, "size": size})
