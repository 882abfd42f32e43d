"""The lifecycle gate of every screen and widget that shows data: data waits for the mount and is dropped on removal.

Data arrives from workers, messages and timers at any time; a widget's children exist only between its compose and its
removal. Only `LiveNode` knows in which of the three phases a widget is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial, wraps
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from textual.events import Mount

if TYPE_CHECKING:
    from textual.message import Message
    from textual.widget import Widget
    from textual.worker import Worker

    Node = Widget
else:
    Node = object  # A mixin: with a widget as its base, its styles would replace those of the real one.

T = TypeVar("T")
L = TypeVar("L", bound="LiveNode")
P = ParamSpec("P")

DELIVERIES: set[str] = set()
"""Qualified names of all imported methods marked with `delivery`."""


class LiveNode(Node):
    """Mixin, first in the bases of a widget or screen.

    Its workers start when it is mounted and end at their next step once it is being removed. Coroutines passed to
    `asyncio.gather` are tasks of their own that the gate does not stop, so they may only call the client. Calls of
    methods marked with `delivery` are queued before the mount and run in order on mount; after the removal they do
    nothing.
    """

    _live_composed = False
    _live_event: asyncio.Event | None = None
    _live_queue: list[Callable[[], Any]] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether its children exist and it is not being removed."""
        return self._live_composed and not self.is_gone

    @property
    def is_gone(self) -> bool:
        """Whether it is removed or being removed, alone or with its parent."""
        return self._pruning or self._closing or self._closed

    @property
    def _live_mounted(self) -> asyncio.Event:
        if self._live_event is None:
            self._live_event = asyncio.Event()
        return self._live_event

    async def _dispatch_message(self, message: Message) -> None:
        """Skip the mount of a widget that was removed meanwhile: its children are gone."""
        if not (isinstance(message, Mount) and self.is_gone):
            await super()._dispatch_message(message)

    async def mount_composed_widgets(self, widgets: list[Widget]) -> None:
        await super().mount_composed_widgets(widgets)
        self._live_composed = True

    def on_mount(self) -> None:
        """Called after the subclasses' handlers: queued data is newer than their initial state."""
        queued, self._live_queue = self._live_queue or [], None
        for each in queued:
            if iscoroutine(result := each()):
                self.run_worker(result, group="delivery")
        self._live_mounted.set()

    def is_working(self, group: str) -> bool:
        """Whether a worker of this group runs; one that was cancelled no longer counts."""
        return any(
            worker.node is self and worker.group == group and not (worker.is_finished or worker.is_cancelled)
            for worker in self.workers
        )

    def queue_delivery(self, deliver: Callable[[], Any]) -> None:
        """Keep a delivery until the mount; drop it after the removal."""
        if not self.is_gone:
            self._live_queue = [*(self._live_queue or ()), deliver]

    def run_worker(self, work: Any, *args: Any, **kwargs: Any) -> Worker[Any]:
        return super().run_worker(partial(self._live_work, work), *args, **kwargs)

    async def _live_work(self, work: Callable[[], Coroutine[Any, Any, T]] | Coroutine[Any, Any, T]) -> T:
        await self._live_mounted.wait()
        return await _Gate(self, work() if callable(work) else work)


class _Gate(Awaitable[T]):
    """Steps a coroutine; before a step, throws CancelledError into it if its widget is gone meanwhile."""

    def __init__(self, node: LiveNode, coroutine: Coroutine[Any, Any, T]) -> None:
        self._node, self._coroutine = node, coroutine

    def __await__(self) -> Generator[Any, Any, T]:
        error: BaseException | None = None
        cancelled = False
        try:
            while True:
                if not cancelled and self._node.is_gone:  # replaces an error of the awaited call
                    error, cancelled = asyncio.CancelledError("the widget was removed"), True
                try:
                    waits_for = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
                except StopIteration as end:
                    result: T = end.value
                    return result
                error = None
                try:
                    yield waits_for
                except BaseException as raised:
                    error = raised
        finally:
            self._coroutine.close()


def delivery(method: Callable[Concatenate[L, P], T]) -> Callable[Concatenate[L, P], T | None]:
    """Mark a method of a `LiveNode` that receives data. The wrapped method returns None if it queues or drops it."""

    @wraps(method)
    def deliver(self: L, /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        if self.is_ready:
            return method(self, *args, **kwargs)
        self.queue_delivery(partial(method, self, *args, **kwargs))
        return None

    DELIVERIES.add(method.__qualname__)
    return deliver


def async_delivery(
    method: Callable[Concatenate[L, P], Awaitable[None]],
) -> Callable[Concatenate[L, P], Coroutine[Any, Any, None]]:
    """`delivery` for a coroutine method."""

    @wraps(method)
    async def deliver(self: L, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.is_ready:
            await method(self, *args, **kwargs)
        else:
            self.queue_delivery(partial(method, self, *args, **kwargs))

    DELIVERIES.add(method.__qualname__)
    return deliver
