"""What all pages share: themes, the palette, help, the footer, the bell."""

from __future__ import annotations

import gc
from typing import Any
from weakref import WeakSet

import pytest
from textual.command import CommandPalette
from textual.widgets import OptionList
from textual.widgets._footer import FooterKey

from taod.client import AsyncClient
from taod.types.state import State
from tui.app import Dashboard
from tui.theme import GREEN, LIGHT_COLOURS

pytestmark = pytest.mark.slow(seconds=2)

SIZE = (120, 40)


def drawn(app: Dashboard) -> tuple[str, set[str]]:
    """Everything on the screen as text, and the colours that it is drawn in."""
    strips = [app.screen._compositor.render_strips()]
    segments = [segment for each in strips for strip in each for segment in strip]
    colours = {s.style.color.triplet.hex for s in segments if s.style and s.style.color and s.style.color.triplet}
    return "".join(segment.text for segment in segments), colours


async def test_the_light_theme_draws_no_colour_of_the_dark_one(server: Any, busy: Any, until: Any) -> None:
    world = server.world
    app = Dashboard(AsyncClient(server.url, world.user, world.token), look="light")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(app.screen.jobs.table.rows) == 3)
        colours = drawn(app)[1]
        assert LIGHT_COLOURS[GREEN] in colours
        assert not colours & set(LIGHT_COLOURS)
        app.action_look()
        await until(pilot, lambda: GREEN in drawn(app)[1])


async def test_an_ascii_terminal_gets_ascii_only(server: Any, busy: Any, until: Any) -> None:
    world = server.world
    app = Dashboard(AsyncClient(server.url, world.user, world.token), ascii_only=True)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(app.screen.jobs.table.rows) == 3)
        await pilot.press("k")
        await until(pilot, lambda: app.screen.job.kpis.chosen is not None)
        for key in ("l", "d", "question_mark"):
            assert {sign for sign in drawn(app)[0] if not sign.isascii()} == set()
            await pilot.press(key)
            await pilot.pause()
        assert {sign for sign in drawn(app)[0] if not sign.isascii()} == set()


def first_command(app: Dashboard) -> str:
    """The first command that the palette offers; empty while there is none."""
    commands = app.screen.query_one("CommandList", OptionList)
    return commands.get_option_at_index(0).hit.text if commands.option_count else ""  # type: ignore[attr-defined]


@pytest.mark.slow
async def test_the_palette_finds_and_runs_an_action(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.screen.jobs.table.selected_id == busy.train.id)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(dashboard.screen, CommandPalette))
        await pilot.press(*"only error")
        await until(pilot, lambda: first_command(dashboard).endswith("only Error jobs"))
        await pilot.press("enter")
        if isinstance(dashboard.screen, CommandPalette):
            await pilot.press("enter")
        await until(pilot, lambda: not isinstance(dashboard.screen, CommandPalette))
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 1)


async def test_the_bell_rings_once_for_a_job_that_ends(server: Any, busy: Any, until: Any) -> None:
    world, rung = server.world, []
    for bell, expected in ((True, 1), (False, 0)):
        app = Dashboard(AsyncClient(server.url, world.user, world.token), bell=bell)
        app.bell = lambda: rung.append(1)  # type: ignore[method-assign]
        rung.clear()
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda app=app: len(app.screen.jobs.table.rows) == 3)
            busy.change(busy.train.id, state=State.RUNNING)
            busy.change(busy.train.id, state=State.FAILED, reason="exit code 1")
            busy.change(busy.train.id, reason="exit code 1, repeated")
            await until(pilot, lambda app=app: any("Failed" in note.title for note in app._notifications))
            await until(pilot, lambda: app.screen.jobs.store.views[busy.train.id].reason == "exit code 1, repeated")  # noqa: B023
            assert len(rung) == expected


@pytest.mark.slow
async def test_key_widgets_that_are_no_longer_shown_are_released(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 3)
        # Those of dashboards that other tests closed may still wait to be collected.
        known = WeakSet(each for each in gc.get_objects() if type(each) is FooterKey)
        for _ in range(6):
            await pilot.press("up", "down")
            dashboard.screen.refresh_bindings()
            await pilot.pause()

        def alive() -> int:
            gc.collect()
            return sum(type(each) is FooterKey and each not in known for each in gc.get_objects())

        await until(pilot, lambda: 0 < alive() <= 2 * len(dashboard.screen.query(FooterKey)))


async def test_the_footer_is_rebuilt_only_when_it_changes(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 3)
        await until(pilot, lambda: list(dashboard.screen.query(FooterKey)))
        await until(pilot, lambda: dashboard.screen.job.detail is not None and not dashboard._count_reads.is_active)
        keys = list(dashboard.screen.query(FooterKey))
        for _ in range(5):
            dashboard.screen.refresh_bindings()
            await pilot.pause()
        assert list(dashboard.screen.query(FooterKey)) == keys
        greyed_out = {key.key for key in dashboard.screen.query(FooterKey).filter(".-disabled")}
        await pilot.press("down", "down")  # to a job that has ended: others of its keys do something
        await until(
            pilot, lambda: {key.key for key in dashboard.screen.query(FooterKey).filter(".-disabled")} != greyed_out
        )


@pytest.mark.parametrize(("columns", "beside"), [(80, False), (120, True), (200, True)])
async def test_details_are_beside_their_list_where_there_is_room(
    dashboard: Dashboard, busy: Any, until: Any, columns: int, beside: bool
) -> None:
    async with dashboard.run_test(size=(columns, 60)) as pilot:
        await pilot.press("M")
        await until(pilot, lambda: dashboard.screen.query(".details") and dashboard.screen.query_one(".details").size)

        def placed() -> tuple[bool, bool]:
            listed, details = dashboard.screen.query_one(".list").region, dashboard.screen.query_one(".details").region
            return details.x >= listed.right, details.y >= listed.bottom

        await until(pilot, lambda: placed() == (beside, not beside))  # the first layout comes before the breakpoint
