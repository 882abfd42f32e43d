"""A log of tens of megabytes: opened at its end, loaded in both directions, searched completely."""

from __future__ import annotations

from typing import Any

import pytest

from taod.client import AsyncClient
from tests.tui.test_dashboard import select, text
from tui.app import Dashboard
from tui.job.log import PART_BYTES, WINDOW_LINES, LogView

SIZE = (120, 40)
LINES = 400_000
NEEDLE, TROUBLE = 123_456, 250_000


@pytest.fixture(scope="module")
def long_log() -> bytes:
    lines = [b"10:00:00 step %07d loss 0.123456 lr 0.001 of many" % number for number in range(LINES)]
    lines[NEEDLE] = b"10:00:00 the Needle in the stack"
    lines[TROUBLE] = b"10:00:00 ERROR something broke"
    return b"\n".join(lines) + b"\n"


def first_shown(view: LogView) -> str:
    return view.lines[int(view.scroll_y)]


def on_screen(view: LogView) -> list[str]:
    top = int(view.scroll_y)
    return [view.lines[index] for index in range(top, min(len(view.lines), top + view.size.height))]


async def test_it_opens_at_the_end_and_scrolls_to_the_beginning_and_back(
    dashboard: Dashboard, busy: Any, until: Any, long_log: bytes
) -> None:
    busy.logs[busy.train.id] = bytearray(long_log)
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        view = dashboard.screen.job.log_view
        await until(
            pilot, lambda: on_screen(view)[-1:] == [f"10:00:00 step {LINES - 1:07d} loss 0.123456 lr 0.001 of many"]
        )
        assert len(view.lines) <= 1_000
        await pilot.press("l")
        start = view.lines.start
        view.scroll_to(y=0, animate=False, immediate=True)
        await until(pilot, lambda: view.lines.start < start)
        assert int(view.scroll_y) > 1_000, "what was on the screen stays there"
        await pilot.press("home")
        await until(pilot, lambda: view.lines.start == 0 and first_shown(view).startswith("10:00:00 step 0000000"))
        assert not view.following
        shown, end = len(view.lines), view.lines.end
        view.scroll_to(y=view.max_scroll_y, animate=False, immediate=True)
        await until(pilot, lambda: view.lines.end > end)
        assert shown < len(view.lines) <= WINDOW_LINES + 1
        await busy.write(busy.train.id, b"news\n")
        await pilot.press("end")
        await until(pilot, lambda: on_screen(view)[-1:] == ["news"] and view.following)


@pytest.mark.slow
async def test_the_whole_log_is_searched_in_both_directions(
    dashboard: Dashboard, busy: Any, until: Any, long_log: bytes
) -> None:
    busy.logs[busy.train.id] = bytearray(long_log)
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        view = dashboard.screen.job.log_view
        await until(pilot, lambda: len(view.lines))
        await pilot.press("l", "slash", *"needle", "enter")
        await until(pilot, lambda: "10:00:00 the Needle in the stack" in on_screen(view))
        assert view.lines.end - view.lines.start <= PART_BYTES
        await pilot.press("n")
        await until(pilot, lambda: "nothing found further above" in text(dashboard, "#search-state"))
        await pilot.press("E")
        await until(pilot, lambda: "10:00:00 ERROR something broke" in on_screen(view))
        await pilot.press("E")
        await until(pilot, lambda: "nothing found further below" in text(dashboard, "#search-state"))
        await pilot.press("n")
        await until(pilot, lambda: "10:00:00 the Needle in the stack" in on_screen(view))


@pytest.mark.slow
async def test_new_lines_do_not_move_a_window_further_up(server: Any, busy: Any, until: Any, long_log: bytes) -> None:
    busy.logs[busy.train.id] = bytearray(long_log)
    app = Dashboard(AsyncClient(server.url, server.world.user, server.world.token))
    async with app.run_test(size=SIZE) as pilot:
        await select(app, pilot, until, busy.train.id)
        view = app.screen.job.log_view
        await until(pilot, lambda: busy.followers.get(busy.train.id) == 1)
        await pilot.press("l", "home")
        await until(pilot, lambda: view.lines.start == 0)
        before = (view.lines.end, view.scroll_y, len(view.lines))
        await busy.write(busy.train.id, b"late ERROR\n" * 50)
        await until(pilot, lambda: view._offset == len(long_log) + 550)
        assert (view.lines.end, view.scroll_y, len(view.lines)) == before
        await pilot.press("e")
        await until(pilot, lambda: "late ERROR" in on_screen(view))
