"""Endpoints of notifications: the targets, what is not delivered, and test messages."""

from __future__ import annotations

from litestar import Controller, Response, get, post

from taod.api.dependencies import Call, TheServices, TheUser
from taod.api.request_parsing import read_body
from taod.api.responses import read
from taod.types.notification import NotifyState, NotifyTest, NotifyTestResult


class NotificationController(Controller):
    """The targets that `[notify]` configures."""

    path = "/api/v1/notify"
    tags = ("NOTIFY",)

    @get(summary="Targets of notifications, and what is not delivered")
    async def notify_state(self, services: TheServices, caller: TheUser) -> Response[NotifyState]:
        """The targets, without their secrets, and the notifications about the user's jobs that they do not have."""
        return await read(services, caller.id, services.notifications.state, caller.id)

    @post("/test", status_code=200, summary="Send a test message", opt={"body": NotifyTest})
    async def test_notify(self, request: Call, services: TheServices, caller: TheUser) -> list[NotifyTestResult]:
        """Sends a test message to one target or all, once, and answers with the results; for the first user."""
        return await services.notifications.test(caller, await read_body(request, NotifyTest, answer=NotifyTestResult))
