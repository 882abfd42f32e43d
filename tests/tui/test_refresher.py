"""Readings are requested at any time: they never overlap, and the last request always has its answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.app import App

from taod.types.event import EventType
from taod.types.state import State
from tests.tui.test_frame import drawn
from tui import app as app_module
from tui.app import Dashboard
from tui.jobs.filters import Chip
from tui.refresher import Refresher


class Source:
    """Something that is read: each reading ends when the test lets it."""

    def __init__(self) -> None:
        self.started = self.ended = self.open = self.most_open = 0
        self.released = asyncio.Semaphore(0)

    async def read(self) -> None:
        self.started += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            await self.released.acquire()
        finally:
            self.open -= 1
        self.ended += 1


async def test_requests_during_a_reading_cause_one_more(until: Any) -> None:
    source = Source()
    app: App[None] = App()
    async with app.run_test() as pilot:
        refresher = Refresher(app, source.read, group="test")
        refresher.request()
        await until(pilot, lambda: source.started == 1)
        for _ in range(5):
            refresher.request()
        source.released.release()
        await until(pilot, lambda: source.started == 2)
        source.released.release()
        await until(pilot, lambda: not refresher.is_active)
        assert (source.started, source.ended, source.most_open) == (2, 2, 1)


@pytest.mark.parametrize("all_workers", [True, False])
async def test_a_request_after_a_cancellation_before_the_first_step_is_read(until: Any, all_workers: bool) -> None:
    source = Source()
    app: App[None] = App()
    async with app.run_test() as pilot:
        refresher = Refresher(app, source.read, group="test")
        refresher.request()
        app.workers.cancel_all() if all_workers else refresher.cancel()
        assert not refresher.is_active
        refresher.request()
        await until(pilot, lambda: source.started == 1)
        source.released.release()
        await until(pilot, lambda: source.ended == 1)


async def test_a_reading_that_is_cancelled_does_not_block_the_next(until: Any) -> None:
    source = Source()
    app: App[None] = App()
    async with app.run_test() as pilot:
        refresher = Refresher(app, source.read, group="test")
        refresher.request()
        await until(pilot, lambda: source.started == 1)
        refresher.cancel()
        refresher.request()
        await until(pilot, lambda: source.started == 2)
        source.released.release()
        await until(pilot, lambda: source.ended == 1)
        assert source.most_open == 1


def counted(app: Dashboard) -> int:
    """The number beside "All"."""
    return next(chip.jobs for chip in app.screen.query(Chip) if chip.status is None)


@pytest.mark.slow
async def test_an_older_count_does_not_replace_a_newer_one(dashboard: Dashboard, busy: Any, until: Any) -> None:
    """The answer to a request that was sent before a job was created arrives after the event of the job."""
    async with dashboard.run_test(size=(140, 44)) as pilot:
        await until(pilot, lambda: counted(dashboard) == 3 and not dashboard._count_reads.is_active)
        late = busy.late["/job/counts"] = asyncio.Event()
        busy.change(busy.train.id, state=State.PAUSED)
        await until(pilot, lambda: busy.waiting == 1)
        del busy.late["/job/counts"]
        created = busy.add_job()
        busy.publish(EventType.JOB, created)
        await until(pilot, lambda: created.id in dashboard.screen.jobs.table.rows)
        await pilot.pause(0.5)  # time for a second request, which must not be sent
        late.set()
        await until(pilot, lambda: not [worker for worker in dashboard.workers if worker.group == "counts"])
        await until(pilot, lambda: counted(dashboard) == 4)


async def test_counts_that_the_daemon_could_not_give_are_read_later(
    dashboard: Dashboard, busy: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "RETRY_S", 0.05)
    async with dashboard.run_test(size=(140, 44)) as pilot:
        await until(pilot, lambda: counted(dashboard) == 3)
        busy.errors["/job/counts"] = "the database is locked; retry later"
        before = len(busy.asked)
        busy.publish(EventType.JOB, busy.add_job())
        await until(pilot, lambda: sum("/job/counts" in path for _, path in busy.asked[before:]) >= 2)
        del busy.errors["/job/counts"]
        await until(pilot, lambda: counted(dashboard) == 4)


async def test_counts_that_arrive_before_the_page_is_mounted_are_shown(
    dashboard: Dashboard, world: Any, until: Any
) -> None:
    world.errors["/job/counts"] = "the database is locked; retry later"
    dashboard.counts = {State.DONE: 31}
    async with dashboard.run_test(size=(140, 44)) as pilot:
        await until(pilot, lambda: dashboard.connected)
        assert counted(dashboard) == 31
        assert "31" in drawn(dashboard)[0]
