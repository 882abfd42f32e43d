"""`client.notifications`: the targets of notifications."""

from __future__ import annotations

from typing import TypeAlias

from taod.client.transport import Namespace
from taod.types.notification import NotifyState, NotifyTest, NotifyTestResult

Results: TypeAlias = list[NotifyTestResult]
PATH = "/api/v1/notify"


class AsyncNotifications(Namespace):
    """The targets that `[notify]` of the daemon's configuration names."""

    async def state(self) -> NotifyState:
        """The targets, and the notifications about this user's jobs that are not delivered."""
        return await self._transport.call("GET", PATH, NotifyState)

    async def test(self, target: str | None = None) -> Results:
        """Send a test message to one target, or to all. Only for the root's first user."""
        return await self._transport.call("POST", f"{PATH}/test", Results, body=NotifyTest(target))
