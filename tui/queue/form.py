"""The form that pauses the whole queue."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget
from textual.widgets import Input

from taod.client import AsyncClient
from taod.types.queue import QueueState
from tui.forms.form import Form, Row


class PauseQueue(Form[QueueState]):
    """Asks for a reason, which is shown to all users."""

    YES = "Pause queue"

    def __init__(self, client: AsyncClient) -> None:
        super().__init__("Pause the whole queue")
        self._client = client

    def rows(self) -> Iterable[Widget]:
        note = "shown to all users; running jobs continue, no job starts"
        yield Row("Reason", Input(id="reason", placeholder="optional", compact=True), note)

    async def submit(self) -> QueueState:
        return await self._client.queue.pause(self.text("#reason"))
