"""The order of the list: by column, reversed, grouped, and of loaded jobs only."""

from __future__ import annotations

from typing import Any

from taod.types.job import Result
from taod.types.state import State
from tui.app import Dashboard
from tui.jobs.job_store import JobStore
from tui.jobs.order import Heading, Order, arranged

SIZE = (150, 44)


def four(world: Any) -> list[Any]:
    """Newest first: b queued, a running at 1 of 4 with loss 0.5, b done with loss 0.1, a failed without a metric."""
    a, b = "a" * 32, "b" * 32
    return [
        world.add_job(state=State.QUEUED, owner_id=b, owner_name="B", seconds_ago=1),
        world.add_job(
            state=State.RUNNING, owner_id=a, owner_name="a", seconds_ago=2, result=Result(epoch=1, max_epoch=4),
            metric="loss", metric_value=0.5,
        ),
        world.add_job(
            state=State.DONE, owner_id=b, owner_name="B", seconds_ago=3, result=Result(epoch=4, max_epoch=4),
            metric="loss", metric_value=0.1,
        ),
        world.add_job(state=State.FAILED, owner_id=a, owner_name="a", seconds_ago=4),
    ]  # fmt: skip


def places(world: Any, order: Order, jobs: list[Any]) -> list[int | str]:
    ids = [view.id for view in jobs]
    rows = arranged(world.jobs, order)
    return [f"{row.name} {row.jobs}" if isinstance(row, Heading) else ids.index(row) for row in rows]


def test_each_column_has_its_order_and_can_be_reversed(world: Any) -> None:
    jobs = four(world)
    assert places(world, Order(), jobs) == [0, 1, 2, 3]
    assert places(world, Order().by("age"), jobs) == [3, 2, 1, 0]
    assert places(world, Order().by("id"), jobs) == [3, 2, 1, 0]
    assert places(world, Order("word"), jobs) == [1, 0, 2, 3]
    assert places(world, Order("progress"), jobs) == [2, 1, 0, 3]
    assert places(world, Order("model"), jobs) == [1, 3, 0, 2]
    assert places(world, Order("model").by("model"), jobs) == [0, 2, 1, 3]


def test_better_metrics_come_first_and_missing_ones_last(world: Any) -> None:
    jobs = four(world)
    assert places(world, Order("value"), jobs) == [2, 1, 0, 3]


def test_trials_follow_their_sweep_whatever_the_order(world: Any) -> None:
    jobs = four(world)
    sweep = jobs[2]
    trials = [
        world.add_job(sweep_id=sweep.id, trial=number, owner_id=sweep.owner_id, seconds_ago=0.5, metric="loss",
                      metric_value=loss, state=State.DONE)
        for number, loss in enumerate((0.3, 0.2))
    ]  # fmt: skip
    jobs += trials
    assert places(world, Order(), jobs) == [0, 1, 2, 5, 4, 3]
    assert places(world, Order("value"), jobs) == [2, 5, 4, 1, 0, 3]
    assert places(world, Order(grouped=True), jobs) == ["B 4", 0, 2, 5, 4, "a 2", 1, 3]
    # A sweep that is not loaded: its trials stand for themselves.
    del world.jobs[sweep.id]
    assert places(world, Order("value"), jobs) == [5, 4, 1, 0, 3]


def test_groups_come_in_the_order_of_their_first_job(world: Any) -> None:
    jobs = four(world)
    assert places(world, Order(grouped=True), jobs) == ["B 2", 0, 2, "a 2", 1, 3]
    assert places(world, Order("value", is_reversed=True, grouped=True), jobs) == ["B 2", 0, 2, "a 2", 3, 1]


def test_the_next_column_is_one_that_can_be_ordered_by() -> None:
    columns = ["state", "word", "id", "action", "progress", "value", "metric", "age"]
    order = Order()
    seen = []
    for _ in range(5):
        order = order.after(columns)
        seen.append(order.column)
    assert seen == ["word", "action", "progress", "value", "age"]


def test_the_book_records_better_and_worse(world: Any) -> None:
    store = JobStore()
    loss = world.add_job(metric="val_loss", metric_value=0.5)
    score = world.add_job(metric="mAP", metric_value=0.5)
    for view in (loss, score):
        store.take(view)
        assert view.id not in store.trends
        store.take(world.change(view.id, metric_value=0.4))
    assert (store.trends[loss.id], store.trends[score.id]) == (1, -1)
    store.take(world.change(loss.id, metric_value=0.4))
    assert store.trends[loss.id] == 1, "an equal value is not a change"
    store.take(world.change(loss.id, attempt=2, metric_value=0.9))
    assert loss.id not in store.trends, "another attempt starts without a trend"


async def test_keys_and_clicks_order_and_group_and_the_cursor_stays(
    dashboard: Dashboard, world: Any, until: Any
) -> None:
    jobs = four(world)
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.screen.jobs.table.selected_id == jobs[1].id)
        table = dashboard.screen.jobs.table
        await pilot.press("g")
        await until(pilot, lambda: table.row_count == 6)
        assert (table.selected_id, table.cursor_row) == (jobs[1].id, 4)
        await pilot.press("up")
        await until(pilot, lambda: table.selected_id == jobs[2].id)
        await pilot.press("home")
        await until(pilot, lambda: (table.selected_id, table.cursor_row) == (jobs[0].id, 1))
        await pilot.press("g")
        at = sum(c.width + 2 for c in table._layout[: table.columns.index("value")]) + 1
        await pilot.click(table, offset=(at, 0))
        await until(pilot, lambda: table.rows[0] == jobs[2].id)
        assert "by metric" in str(dashboard.screen.jobs.border_subtitle)
        await pilot.press("O")
        await until(pilot, lambda: table.rows[-1] == jobs[2].id)
        world.change(jobs[1].id, metric_value=0.05)
        await until(pilot, lambda: table.rows[-1] == jobs[1].id)


async def test_only_loaded_jobs_are_ordered_and_the_border_says_so(
    dashboard: Dashboard, world: Any, until: Any
) -> None:
    for number in range(250):
        world.add_job(state=State.DONE, owner_name=f"m{number:03}", seconds_ago=1000 + number)
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 200)
        jobs = dashboard.screen.jobs
        jobs.order_by("model")
        jobs.reverse_order()
        assert "loaded jobs only" in str(jobs.border_subtitle)
        assert jobs.table.cell(jobs.table.rows[0], "model").plain == "m199"
        await pilot.press("end")
        await until(pilot, lambda: len(jobs.table.rows) == 250)
        assert jobs.table.cell(jobs.table.rows[0], "model").plain == "m249"
        assert "loaded jobs only" not in str(jobs.border_subtitle)
