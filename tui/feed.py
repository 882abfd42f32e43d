"""The daemon's event stream as Textual messages: posted to the app, which forwards them to its pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from textual.message import Message

from taod.client import AsyncClient, ClientError
from taod.client.transport import Rediscover
from taod.types.dataset import CheckProgress, UploadProgress
from taod.types.device import Device
from taod.types.event import EventType, ResourceChange, StatusUpdate
from taod.types.job import JobUsage, JobView
from taod.types.queue import QueueState
from taod.types.state import State
from taod.types.tool import ToolProgress

TAKEN_AT_ONCE = 32
"""Number of events posted before waiting for the pages to handle them."""


class Connected(Message, bubble=False):
    """The stream is open: read everything, since earlier events are unknown."""


class Disconnected(Message, bubble=False):
    """The stream is lost; the client reconnects."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Rejected(Message, bubble=False):
    """The daemon rejects the client; no event follows."""

    def __init__(self, error: ClientError) -> None:
        super().__init__()
        self.error = error


class JobChanged(Message, bubble=False):
    """`fresh`: from the event stream; otherwise the answer to a request of this dashboard."""

    def __init__(self, view: JobView, *, fresh: bool = False) -> None:
        super().__init__()
        self.view, self.fresh = view, fresh


class JobDeleted(Message, bubble=False):
    def __init__(self, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id


class StatusLine(Message, bubble=False):
    def __init__(self, update: StatusUpdate) -> None:
        super().__init__()
        self.update = update


class DevicesChanged(Message, bubble=False):
    def __init__(self, devices: list[Device]) -> None:
        super().__init__()
        self.devices = devices


class UsageChanged(Message, bubble=False):
    """Current resource usage of a run."""

    def __init__(self, usage: JobUsage) -> None:
        super().__init__()
        self.usage = usage


class CheckProgressed(Message, bubble=False):
    """Progress of the full check of a dataset."""

    def __init__(self, progress: CheckProgress) -> None:
        super().__init__()
        self.progress = progress


class UploadProgressed(Message, bubble=False):
    """Progress of an upload of this or another client."""

    def __init__(self, progress: UploadProgress) -> None:
        super().__init__()
        self.progress = progress


class ToolProgressed(Message, bubble=False):
    """Progress of an installation or a check of a tool."""

    def __init__(self, progress: ToolProgress) -> None:
        super().__init__()
        self.progress = progress


class DatasetChanged(Message, bubble=False):
    def __init__(self, change: ResourceChange) -> None:
        super().__init__()
        self.change = change


class ModelChanged(Message, bubble=False):
    def __init__(self, change: ResourceChange) -> None:
        super().__init__()
        self.change = change


class CountsChanged(Message, bubble=False):
    """Jobs by state; read by the app after jobs changed."""

    def __init__(self, counts: dict[State, int]) -> None:
        super().__init__()
        self.counts = counts


class QueueChanged(Message, bubble=False):
    """The queue was paused or resumed."""

    def __init__(self, state: QueueState) -> None:
        super().__init__()
        self.state = state


class EventsMissed(Message, bubble=False):
    """The stream continues, but events were lost: read everything again."""


class Barrier(Message, bubble=False):
    """Flow-control marker: a page that handles it has handled all events before it."""

    def __init__(self, reached: asyncio.Event) -> None:
        super().__init__()
        self.reached = reached


class Feed:
    """Turns events into messages until it is cancelled, no faster than the pages handle them.

    Events for a slow terminal wait in the daemon, which sends RESET when it drops some.
    """

    def __init__(
        self, client: AsyncClient, post: Callable[[Message], Any], rediscover: Rediscover | None = None
    ) -> None:
        self._client, self._post, self._rediscover = client, post, rediscover

    async def run(self) -> None:
        posted = 0
        try:
            async for kind, body in self._client.events.stream(
                on_connection=self._connection, rediscover=self._rediscover
            ):
                message = _message(kind, body)
                if message is not None:
                    self._post(message)
                    posted += 1
                    if posted % TAKEN_AT_ONCE == 0:
                        await self._handled()
        except ClientError as error:
            self._post(Rejected(error))

    async def _handled(self) -> None:
        """Wait until the pages have handled the posted messages."""
        reached = asyncio.Event()
        self._post(Barrier(reached))
        await reached.wait()

    def _connection(self, up: bool, reason: str) -> None:
        self._post(Connected() if up else Disconnected(reason))


def _message(kind: EventType, body: Any) -> Message | None:
    if kind is EventType.JOB:
        return JobChanged(body, fresh=True)
    if kind is EventType.STATUS:
        return StatusLine(body)
    if kind is EventType.DEVICES:
        return DevicesChanged(body)
    if kind is EventType.USAGE:
        return UsageChanged(body)
    if kind is EventType.UPLOAD:
        return UploadProgressed(body)
    if kind is EventType.CHECK:
        return CheckProgressed(body)
    if kind is EventType.TOOL:
        return ToolProgressed(body)
    if kind is EventType.RESET:
        return EventsMissed()
    if kind is EventType.QUEUE:
        return QueueChanged(body)
    if isinstance(body, ResourceChange):
        if kind is EventType.JOB_DELETED:
            return JobDeleted(body.id)
        if kind is EventType.DATASET:
            return DatasetChanged(body)
        if kind is EventType.MODEL:
            return ModelChanged(body)
    return None
