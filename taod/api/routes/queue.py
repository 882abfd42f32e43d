"""Endpoints of the queue of all users, and of one user's jobs in it."""

from __future__ import annotations

from litestar import Controller, Response, get, patch

from taod.api import query
from taod.api.dependencies import Call, TheServices, TheUser
from taod.api.request_parsing import read_body
from taod.api.responses import read
from taod.types.job import JobView
from taod.types.queue import QueuePatch, QueueState


class QueueController(Controller):
    """The queue of all users."""

    path = "/api/v1"
    tags = ("QUEUE",)

    @get("/queue", summary="State of the queue, and number of jobs in it")
    async def queue_state(self, services: TheServices) -> QueueState:
        return services.queue.state()

    @patch("/queue", summary="Pause or resume the queue", opt={"body": QueuePatch})
    async def change_queue(self, request: Call, services: TheServices, caller: TheUser) -> QueueState:
        return services.queue.change(caller, await read_body(request, QueuePatch, answer=QueueState))

    @get("/user/{user_id:str}/queue", summary="Queued Jobs in the order of service", opt={"query": ("skip", "size")})
    async def list_queue(self, request: Call, services: TheServices, user: TheUser) -> Response[list[JobView]]:
        return await read(services, user.id, services.queue.in_order, user.id, query.page(request))
