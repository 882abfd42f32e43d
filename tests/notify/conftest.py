"""An outbox over a real store, and its deliveries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from store import Store
from taod.clock import SystemClock
from taod.config import NotifyConfig, NotifyTargetConfig
from taod.notify.delivery import Deliveries
from taod.notify.outbox import Outbox
from taod.paths import Root
from tests.notify.receivers import Webhook, webhook
from tests.patience import PATIENCE_S


@dataclass
class Clock(SystemClock):
    """The machine's clock, and what a test adds to it."""

    later_s: float = 0.0

    def time(self) -> float:
        return super().time() + self.later_s


@dataclass
class Post:
    """One daemon's notifications."""

    root: Root
    config: NotifyConfig
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.root.make()
        self.store = Store.open(self.root.database, clock=self.clock)
        self.outbox = Outbox(self.store, self.config, self.clock)
        self.deliveries = Deliveries(
            store=self.store, root=self.root, outbox=self.outbox, config=self.config, clock=self.clock
        )

    def disk(self, free_bytes: int = 0) -> None:
        """The event that needs no job."""
        with self.store.transaction():
            self.outbox.disk("/srv", free_bytes)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what deliveries change has become so."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - a file or a row, which nothing announces
                await asyncio.sleep(0.01)

    def open(self) -> int:
        """Number of notifications that are not delivered or given up."""
        return sum(each.undelivered for each in self.store.notifications.summaries().values())

    async def delivered(self) -> None:
        await self.until(lambda: self.open() == 0)


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Callable[..., Post]]:
    """Starts daemons over the same root, one after the other: `post(targets…, timeout_s=…)`."""
    last: list[Post] = []

    async def stop() -> None:
        for each in last:
            await each.deliveries.stop()
            each.store.close()
        last.clear()

    def start(*targets: NotifyTargetConfig, run: bool = True, clock: Clock | None = None, **settings: float) -> Post:
        assert not last
        config = NotifyConfig(target=list(targets), **settings)  # type: ignore[arg-type]
        last.append(Post(Root(tmp_path / "root"), config, clock or Clock()))
        if run:
            last[0].deliveries.start()
        return last[0]

    start.stop = stop  # type: ignore[attr-defined]
    yield start
    await stop()


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as found:
        yield found
