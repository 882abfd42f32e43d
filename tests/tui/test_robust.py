"""A slow network, tiny terminals, no colours, restarts, and many events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from textual.widgets import Static

from taod.client import AsyncClient
from taod.types.event import EventType
from taod.types.job import Result
from taod.types.state import State
from tests.patience import PATIENCE_S
from tests.tui.test_dashboard import select, text, toasts
from tests.tui.test_frame import drawn
from tui.app import Dashboard
from tui.devices.panel import DevicesPanel
from tui.devices.row import DeviceRow
from tui.feed import TAKEN_AT_ONCE, Barrier, Connected, Feed
from tui.job.plot import MetricPlot

SIZE = (120, 40)
DELAY_S = 0.4


@asynccontextmanager
async def slow_way(url: str) -> AsyncIterator[str]:
    """An address that leads to `url`, where everything takes DELAY_S longer in each direction."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    open_ways: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await asyncio.sleep(DELAY_S)  # the network that is tested, not a wait for something
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, port)
        for task in (asyncio.create_task(carry(reader, back)), asyncio.create_task(carry(there, writer))):
            open_ways.add(task)
            task.add_done_callback(open_ways.discard)

    proxy = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    finally:
        proxy.close()
        for task in list(open_ways):
            task.cancel()


@pytest.mark.slow
async def test_keys_take_effect_immediately_over_a_slow_network(server: Any, busy: Any, until: Any) -> None:
    async with slow_way(server.url) as url:
        app = Dashboard(AsyncClient(url, busy.user, busy.token))
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda: len(app.screen.jobs.table.rows) == 3)
            table = app.screen.jobs.table
            before = table.selected_id
            await until(pilot, lambda: app.screen.job.detail is not None)
            await pilot.press("down")
            assert table.selected_id != before
            assert app.screen.job.view.id == table.selected_id
            assert app.screen.job.detail is None, "the cursor waits for no answer"
            await until(pilot, lambda: app.screen.job.detail is not None)
            await pilot.press("D")
            assert app.screen.NAME == "datasets"


@pytest.mark.parametrize("size", [(60, 20), (20, 6)])
@pytest.mark.slow
async def test_no_terminal_is_too_small(dashboard: Dashboard, busy: Any, until: Any, size: tuple[int, int]) -> None:
    async with dashboard.run_test(size=size) as pilot:
        await until(pilot, lambda: dashboard.screen.jobs.table.selected_id == busy.train.id)
        await pilot.press("k", "s", "f", "d", "l", "enter", "escape", "g", "o", "question_mark", "escape", "c")
        await until(pilot, lambda: type(dashboard.screen).__name__ == "Confirm")
        await pilot.press("n", "D", "n", "escape", "M", "J")
        await until(pilot, lambda: dashboard.screen.jobs.table.selected_id == busy.train.id)
        if size >= (60, 20):
            assert busy.train.id[:8] in drawn(dashboard)[0]


async def test_without_colours_it_is_drawn_in_greys(
    server: Any, busy: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Dashboard(AsyncClient(server.url, busy.user, busy.token))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(app.screen.jobs.table.rows) == 3)
        svg = app.export_screenshot()
        assert "#76b900" not in svg
        assert "running" in svg


@pytest.mark.parametrize(("key", "empty"), [("D", "No datasets yet"), ("M", "No models yet")])
@pytest.mark.slow
async def test_every_page_shows_a_lost_connection_and_recovers(
    dashboard: Dashboard, server: Any, busy: Any, until: Any, key: str, empty: str
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        await pilot.press(key)
        await until(pilot, lambda: empty in text(dashboard, ".empty"))
        await server.stop()
        await until(pilot, lambda: "taod serve" in text(dashboard, ".empty"))
        assert "disconnected" in text(dashboard, "#header-daemon")
        assert sum("Disconnected" in note for note in toasts(dashboard)) == 1
        await pilot.press("n")
        await until(pilot, lambda: sum("Disconnected" in note for note in toasts(dashboard)) == 2)
        await server.start()
        await until(pilot, lambda: empty in text(dashboard, ".empty"))
        assert "live" in text(dashboard, "#header-daemon")


@pytest.mark.slow
async def test_two_hundred_events_in_a_row_draw_the_last_and_leak_nothing(
    dashboard: Dashboard, busy: Any, until: Any
) -> None:
    others = [busy.add_job(state=State.RUNNING, seconds_ago=number / 10) for number in range(10)]
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await until(pilot, lambda: sum(busy.followers.values()) == 1)
        await pilot.press("k", "D", "J", "l")
        dashboard.screen.jobs.table.focus()
        await until(pilot, lambda: dashboard.screen.query(MetricPlot))
        before = len(asyncio.all_tasks())
        for epoch in range(1, 21):
            for view in others:
                busy.change(view.id, result=Result(epoch=epoch, max_epoch=20), metric="loss", metric_value=1 / epoch)
            if epoch % 10 == 0:
                await pilot.press("down", "k", "l", "D", "J")
                dashboard.screen.jobs.table.focus()
        table = dashboard.screen.jobs.table
        await until(pilot, lambda: all("20/20" in table.cell(view.id, "progress").plain for view in others))
        assert all("▼" in table.cell(view.id, "value").plain for view in others)
        await select(dashboard, pilot, until, busy.train.id)
        await until(pilot, lambda: sum(busy.followers.values()) == 1 and len(busy.streams) == 1)
        await until(pilot, lambda: len(asyncio.all_tasks()) <= before + 1)


async def test_events_are_posted_no_faster_than_they_are_handled(client: AsyncClient, busy: Any) -> None:
    posted: asyncio.Queue[Any] = asyncio.Queue()
    task = asyncio.create_task(Feed(client, posted.put_nowait).run())
    assert isinstance(await asyncio.wait_for(posted.get(), PATIENCE_S), Connected)
    for epoch in range(3 * TAKEN_AT_ONCE):
        busy.change(busy.train.id, result=Result(epoch=epoch))
    for part in range(3):
        got = [await asyncio.wait_for(posted.get(), PATIENCE_S) for _ in range(TAKEN_AT_ONCE + 1)]
        assert [message.view.result.epoch for message in got[:-1]] == [
            part * TAKEN_AT_ONCE + number for number in range(TAKEN_AT_ONCE)
        ]
        assert isinstance(got[-1], Barrier)
        assert posted.empty()
        got[-1].reached.set()
    task.cancel()
    await asyncio.wait([task])
    await client.aclose()


@pytest.mark.parametrize(
    ("key", "end", "empty"), [("D", "/dataset", "No datasets yet"), ("M", "/model", "No models yet")]
)
@pytest.mark.slow
async def test_a_list_whose_first_answers_are_lost_is_requested_again(
    dashboard: Dashboard, server: Any, busy: Any, until: Any, key: str, end: str, empty: str
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        server.world.unheard[end] = 2
        await pilot.press(key)
        await until(pilot, lambda: empty in drawn(dashboard)[0])
        assert server.world.unheard[end] == 0
        assert dashboard.connected


async def test_a_list_that_the_daemon_rejects_shows_the_reason(
    dashboard: Dashboard, server: Any, busy: Any, until: Any
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        server.world.errors["/dataset"] = "the database is locked"
        await pilot.press("D")
        empty = dashboard.screen.query_one(".empty", Static)
        await until(pilot, lambda: "the database is locked" in str(empty.content))
        del server.world.errors["/dataset"]
        server.world.publish(EventType.RESET, {})
        await until(pilot, lambda: "No datasets yet" in str(empty.content))


async def test_devices_that_arrive_while_others_are_mounted_are_shown_after_them(
    dashboard: Dashboard, contract: Any, busy: Any, until: Any
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        panel = dashboard.screen.query_one(DevicesPanel)
        two = [contract.gpu(0), contract.gpu(1)]
        for _ in range(5):
            await panel.show([])
            # As the answer to a question and an event of the same moment do.
            await asyncio.gather(panel.show(two), panel.show(two), panel.show(two))
            assert len(panel.query(DeviceRow)) == 2
            await asyncio.gather(panel.show(two), panel.show(two[:1]), panel.show([]))
            assert len(panel.query(DeviceRow)) == 0
