"""The dashboard as a user meets it, driven by keys against a real server on a socket."""

from __future__ import annotations

from typing import Any

import pytest
from textual.events import Key
from textual.widgets import Static, TabbedContent

from taod.client import AsyncClient
from taod.types.event import EventType, ResourceChange
from taod.types.job import Result
from taod.types.state import State
from tui.app import Dashboard
from tui.job.plot import MetricPlot
from tui.jobs.table import JobsTable
from tui.screens.confirm import Confirm
from tui.screens.help import Help

SIZE = (120, 40)


def cell(app: Dashboard, job_id: str, column: str) -> str:
    return app.screen.jobs.table.cell(job_id, column).plain


def text(app: Dashboard, selector: str) -> str:
    """What a part says, its lines joined; nothing while it is not there yet."""
    widgets = app.screen.query(selector).results(Static)
    return " ".join(" ".join(strip.text for w in widgets for strip in w.render_lines(w.size.region)).split())


def log_text(app: Dashboard) -> list[str]:
    lines = app.screen.job.log_view.lines
    return [lines[index] for index in range(len(lines))]


def toasts(app: Dashboard) -> list[str]:
    return [f"{note.title} {note.message}" for note in app._notifications]


def asked(world: Any, method: str, ending: str) -> int:
    return sum(verb == method and path.split("?")[0].endswith(ending) for verb, path in world.asked)


async def select(app: Dashboard, pilot: Any, until: Any, job_id: str) -> None:
    """Put the cursor on a job once the list is there, and wait until its log and detail are."""
    await until(pilot, lambda: job_id in app.screen.jobs.table.rows)
    app.screen.jobs.table.select(job_id)
    await until(pilot, lambda: app.screen.job.detail is not None and app.screen.job.detail.job.id == job_id)


async def test_the_first_paint_shows_devices_jobs_and_counts(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 3)
        assert dashboard.screen.jobs.table.rows == [
            view.id for view in sorted(busy.jobs.values(), key=lambda view: view.created_on, reverse=True)
        ]
        assert cell(dashboard, busy.train.id, "word") == "running"
        assert "3/8" in cell(dashboard, busy.train.id, "progress")
        await until(pilot, lambda: cell(dashboard, busy.train.id, "device") == "cpu0")
        await until(pilot, lambda: "1 running" in text(dashboard, "#header-counts"))
        assert "live" in text(dashboard, "#header-daemon")
        assert str(dashboard.screen.query_one("#devices").border_subtitle) == "1 of 1 in use"


async def test_it_opens_on_a_running_job(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.screen.jobs.table.selected_id == busy.train.id)
        assert dashboard.screen.jobs.table.cursor_row == 1
        await until(pilot, lambda: "train" in str(dashboard.screen.query_one("#job").border_title))


async def test_without_jobs_it_shows_how_to_create_some(dashboard: Dashboard, world: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "No jobs yet" in text(dashboard, "#jobs-empty"))
        assert "taod quickstart" in text(dashboard, "#jobs-empty")
        await until(pilot, lambda: "No devices" in text(dashboard, "#devices-empty"))


async def test_an_event_updates_cells_without_rebuilding_the_row(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        table = dashboard.screen.jobs.table
        kept = table.row_of(busy.train.id)
        asked_before = asked(busy, "GET", "/job")
        busy.change(busy.train.id, result=Result(epoch=4, max_epoch=8, eta="0:00:30"), metric_value=0.95)
        await until(pilot, lambda: "4/8 00:30" in cell(dashboard, busy.train.id, "progress"))
        assert cell(dashboard, busy.train.id, "value") == "0.95 ▲"
        assert kept == table.row_of(busy.train.id)
        assert asked(busy, "GET", "/job") == asked_before


async def test_a_new_job_is_first_and_the_cursor_stays_on_its_job(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        made = busy.add_job(state=State.QUEUED, owner_name="new one", seconds_ago=0)
        busy.publish(EventType.JOB, made)
        await until(pilot, lambda: made.id in dashboard.screen.jobs.table.rows)
        table = dashboard.screen.jobs.table
        assert table.row_of(made.id) == 0
        assert table.selected_id == busy.train.id
        await until(pilot, lambda: "1 queued" in text(dashboard, "#header-counts"))


async def test_a_deleted_job_is_removed(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        del busy.jobs[busy.train.id]
        busy.publish(EventType.JOB_DELETED, ResourceChange(busy.train.id, "deleted"))
        await until(pilot, lambda: busy.train.id not in dashboard.screen.jobs.table.rows)
        await until(pilot, lambda: dashboard.screen.job.view is not None)
        assert dashboard.screen.job.view.id == dashboard.screen.jobs.table.selected_id


async def test_the_end_of_a_job_is_announced(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        busy.change(busy.train.id, state=State.FAILED, reason="exit code 1 [disk full]")
        await until(pilot, lambda: any("Failed" in note for note in toasts(dashboard)))
        assert cell(dashboard, busy.train.id, "progress") == "exit code 1 [disk full]"


async def test_cancel_asks_with_the_consequence_and_posts(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("c")
        await until(pilot, lambda: "epoch 3 of 8" in text(dashboard, ".consequence"))
        assert "1 job that waits for it" in text(dashboard, ".consequence")
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(dashboard.screen, Confirm))
        assert asked(busy, "POST", "/cancel") == 0
        await pilot.press("c")
        await until(pilot, lambda: isinstance(dashboard.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: cell(dashboard, busy.train.id, "word") == "cancelled")
        assert asked(busy, "POST", f"{busy.train.id}/cancel") == 1


async def test_pause_and_resume_post_and_show(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("r")
        await pilot.press("p")
        await until(pilot, lambda: cell(dashboard, busy.train.id, "word") == "paused")
        assert "Paused at epoch 3" in cell(dashboard, busy.train.id, "progress")
        await pilot.press("p")
        await pilot.press("r")
        await until(pilot, lambda: cell(dashboard, busy.train.id, "word") == "queued")
        assert asked(busy, "POST", "/pause") == asked(busy, "POST", "/resume") == 1


async def test_pause_is_not_sent_for_jobs_that_cannot_pause(dashboard: Dashboard, busy: Any, until: Any) -> None:
    evaluate = busy.add_job(action="evaluate", state=State.RUNNING)
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, evaluate.id)
        await pilot.press("p")
        await until(pilot, lambda: any("can be paused" in note for note in toasts(dashboard)))
        assert asked(busy, "POST", "/pause") == 0


async def test_an_error_is_shown_in_the_servers_words(dashboard: Dashboard, busy: Any, until: Any) -> None:
    stuck = busy.add_job(state=State.PAUSED, reason="no room")
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, stuck.id)
        await pilot.press("r")
        await until(pilot, lambda: any("cannot resume" in note for note in toasts(dashboard)))


async def test_the_log_is_followed_until_the_user_scrolls_up(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        view = dashboard.screen.job.log_view
        await until(pilot, lambda: log_text(dashboard)[-1:] == ["2026-01-01 10:00:01 WARNING slow disk"])
        await busy.write(busy.train.id, b"".join(b"line %d\n" % number for number in range(100)))
        await until(pilot, lambda: log_text(dashboard)[-1:] == ["line 99"])
        await until(pilot, lambda: view.scroll_y == view.max_scroll_y > 0)
        await pilot.press("l", "pageup")
        await until(pilot, lambda: not view.following)
        at = view.scroll_y
        await busy.write(busy.train.id, b"more\n")
        await until(pilot, lambda: log_text(dashboard)[-1:] == ["more"])
        assert view.scroll_y == at
        await pilot.press("end")
        await until(pilot, lambda: view.following)
        await busy.write(busy.train.id, b"last\n")
        await until(pilot, lambda: log_text(dashboard)[-1:] == ["last"] and view.scroll_y == view.max_scroll_y)


async def test_another_selection_ends_the_last_stream(dashboard: Dashboard, busy: Any, until: Any) -> None:
    other = busy.add_job(seconds_ago=1)
    await busy.write(other.id, b"of the other\n")
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await until(pilot, lambda: busy.followers.get(busy.train.id) == 1)
        await select(dashboard, pilot, until, other.id)
        await until(pilot, lambda: busy.followers[busy.train.id] == 0 and busy.followers.get(other.id) == 1)
        assert log_text(dashboard) == ["of the other"]


async def test_moving_through_the_list_opens_no_streams(dashboard: Dashboard, busy: Any, until: Any) -> None:
    jobs = [busy.add_job(seconds_ago=number / 10) for number in range(12)]
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 15)
        for _ in range(14):
            dashboard.screen.jobs.table.action_cursor_down()
        last = dashboard.screen.jobs.table.selected_id
        await until(pilot, lambda: dashboard.screen.job.detail and dashboard.screen.job.detail.job.id == last)
        await until(pilot, lambda: asked(busy, "GET", f"{last}/log") > 0)
        assert sum(asked(busy, "GET", f"{view.id}/log") for view in jobs[1:]) == 0


async def test_a_log_that_starts_later_is_followed_from_its_beginning(
    dashboard: Dashboard, busy: Any, until: Any
) -> None:
    queued = busy.add_job(state=State.QUEUED, reason="waits for a device", seconds_ago=1)
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, queued.id)
        await until(pilot, lambda: busy.followers.get(queued.id) == 1)
        busy.change(queued.id, state=State.RUNNING)
        await busy.write(queued.id, b"hello\n")
        await until(pilot, lambda: log_text(dashboard) == ["hello"])


async def test_the_plot_draws_the_chosen_metric_and_grows(
    dashboard: Dashboard, busy: Any, contract: Any, until: Any
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("k")
        await until(pilot, lambda: dashboard.screen.job.kpis.chosen == "accuracy_top-1")
        await until(pilot, lambda: dashboard.screen.query(MetricPlot))
        plot = dashboard.screen.query_one(MetricPlot)
        await until(pilot, lambda: plot.size.height > 5)
        assert any("⠀" < character <= "⣿" for character in plot.render().plain)
        busy.publish(EventType.STATUS, contract.epoch_line(busy.train.id, 4, **{"accuracy_top-1": 0.97, "loss": 0.2}))
        await until(pilot, lambda: "0.97 at epoch 4" in text(dashboard, "#kpi-head"))
        await pilot.press("m")
        await until(pilot, lambda: "loss" in text(dashboard, "#kpi-head"))
        assert "0.2 at epoch 4" in text(dashboard, "#kpi-head")


@pytest.mark.slow
async def test_details_show_history_specification_and_command(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("d")
        await until(pilot, lambda: dashboard.screen.query_one("#facts").size.height > 0)
        assert busy.train.id in text(dashboard, "#facts")
        assert "runners.engine classification_pyt train" in text(dashboard, "#facts")
        assert "asked for" in text(dashboard, "#facts")
        await pilot.press("s")
        await until(pilot, lambda: "type: AdamW" in text(dashboard, "#spec-text"))


@pytest.mark.slow
async def test_the_filter_applies_here_and_at_the_daemon(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 3)
        await pilot.press("slash", *"pedes", "enter")
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 1)
        await until(pilot, lambda: any("text=pedes" in path for _, path in busy.asked))
        busy.publish(EventType.JOB, busy.add_job(owner_name="digits"))
        busy.publish(EventType.JOB, busy.add_job(owner_name="pedestrians 2"))
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 2)
        await pilot.press("escape")
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 5)
        await pilot.press("5")
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 1)
        await pilot.press("slash", *"nothing like it")
        await until(pilot, lambda: "No job matches" in text(dashboard, "#jobs-empty"))


async def test_a_job_that_leaves_the_filter_leaves_the_list(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 3)
        await pilot.press("3")
        await until(pilot, lambda: dashboard.screen.jobs.table.rows == [busy.train.id])
        busy.change(busy.train.id, state=State.DONE)
        await until(pilot, lambda: not dashboard.screen.jobs.table.rows)


@pytest.mark.slow
async def test_more_jobs_are_loaded_while_scrolling(dashboard: Dashboard, world: Any, until: Any) -> None:
    for number in range(450):
        world.add_job(state=State.DONE, seconds_ago=1000 + number)
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 200)
        assert str(dashboard.screen.jobs.border_subtitle) == "200 of 450"
        await pilot.press(*["pagedown"] * 20)
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 400)
        await pilot.press("end")
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 450)
        await until(pilot, lambda: dashboard.screen.jobs.table.cursor_row == 449)
        assert str(dashboard.screen.jobs.border_subtitle) == "450"


@pytest.mark.parametrize("reset", [True, False])
async def test_missed_events_and_a_restart_read_everything_again(
    dashboard: Dashboard, server: Any, busy: Any, until: Any, reset: bool
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        if not reset:
            await server.stop()
            await until(pilot, lambda: "disconnected" in text(dashboard, "#header-daemon"))
        busy.jobs.pop(next(view.id for view in busy.jobs.values() if view.network == "dino"))
        made = busy.add_job(owner_name="made meanwhile")
        busy.jobs[busy.train.id].last_modified = busy.stamp()
        busy.jobs[busy.train.id].result = Result(epoch=7, max_epoch=8)
        await busy.write(busy.train.id, b"written meanwhile\n")
        if reset:
            busy.publish(EventType.RESET, {})
        else:
            await server.start()
        await until(pilot, lambda: made.id in dashboard.screen.jobs.table.rows)
        assert len(dashboard.screen.jobs.table.rows) == 3
        assert "7/8" in cell(dashboard, busy.train.id, "progress")
        await until(pilot, lambda: log_text(dashboard)[-1:] == ["written meanwhile"])
        assert "live" in text(dashboard, "#header-daemon")


async def test_a_dashboard_that_starts_before_its_daemon_waits(
    dashboard: Dashboard, server: Any, busy: Any, until: Any
) -> None:
    await server.stop()
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "taod serve" in text(dashboard, "#jobs-empty"))
        await server.start()
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 3)


async def test_an_unknown_token_is_reported(server: Any, until: Any) -> None:
    dashboard = Dashboard(AsyncClient(server.url, server.world.user, "wrong"))
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "token is not known" in text(dashboard, "#jobs-empty"))
        assert any("Request rejected" in note for note in toasts(dashboard))


async def test_help_lists_every_key(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 3)
        tooltips = [binding.tooltip or binding.description for binding in dashboard.screen.BINDINGS]
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(dashboard.screen, Help))
        shown = text(dashboard, "#help-keys")
        assert all(words in shown for words in tooltips)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(dashboard.screen, Help))


@pytest.mark.slow
async def test_enter_zooms_and_escape_leaves(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("enter")
        await until(pilot, lambda: dashboard.screen.job.size.height > 30)
        await pilot.press("k", "enter")
        await until(pilot, lambda: dashboard.screen.job.size.height < 30)
        await pilot.press("enter")
        await until(pilot, lambda: dashboard.screen.job.size.height > 30)
        await pilot.press("escape")
        await until(pilot, lambda: dashboard.screen.job.size.height < 30)


async def test_a_small_terminal_shows_what_is_important(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        shown = set(dashboard.screen.jobs.table.columns)
        assert {"state", "id", "action", "model", "progress", "value", "age"} == shown
        assert dashboard.screen.jobs.table.size.height >= 4
        assert dashboard.screen.job.log_view.size.height >= 5
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: "device" in set(dashboard.screen.jobs.table.columns))
        assert dashboard.screen.jobs.table.selected_id == busy.train.id
        assert dashboard.screen.query_one(TabbedContent).active == "tab-log"


async def test_keys_typed_at_once_go_into_the_filter(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 3)
        # As from a terminal that was stopped, or a paste: all keys are there before the first one is handled.
        for key, sign in [("slash", "/"), *((sign, sign) for sign in "dino"), ("enter", "\r")]:
            dashboard.post_message(Key(key, sign))
        await until(pilot, lambda: dashboard.screen.jobs.filters.input.value == "dino")
        await until(pilot, lambda: isinstance(dashboard.focused, JobsTable))
        assert (len(dashboard.screen.jobs.table.rows), dashboard.screen.jobs.table.order.column) == (1, "age")
        await pilot.press("escape", "l", "slash")
        assert dashboard.screen.jobs.filters.input is not dashboard.focused, "the log has this key for itself"


async def test_keys_typed_at_once_after_the_filter_do_not_go_into_it(
    dashboard: Dashboard, busy: Any, until: Any
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 3)
        for key, sign in [("slash", "/"), *((sign, sign) for sign in "dino"), ("enter", "\r"), ("k", "k")]:
            dashboard.post_message(Key(key, sign))
        await until(pilot, lambda: dashboard.screen.query_one(TabbedContent).active == "tab-kpis")
        await until(pilot, lambda: dashboard.screen.jobs.filters.input.value == "dino")


async def test_a_job_that_runs_again_before_its_stream_ends_is_followed(
    dashboard: Dashboard, busy: Any, until: Any
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await until(pilot, lambda: busy.followers.get(busy.train.id) == 1)
        busy.change(busy.train.id, state=State.FAILED, reason="exit code 1")
        busy.change(busy.train.id, state=State.QUEUED, reason="retry 1 of 3")
        await until(pilot, lambda: dashboard.screen.job.view.state is State.QUEUED)
        await busy.end_stream(busy.train.id)
        await until(pilot, lambda: busy.followers.get(busy.train.id) == 1)
        await busy.write(busy.train.id, b"second attempt\n")
        await until(pilot, lambda: log_text(dashboard)[-1:] == ["second attempt"])
