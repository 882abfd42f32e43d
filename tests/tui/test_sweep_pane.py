"""A sweep in the dashboard: its tab, the jobs of its trials, targets of keys, the list without trials."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taod.types.event import EventType
from taod.types.job import JobUsage, JobView
from taod.types.state import State
from taod.types.sweep import Dimension, SweepView, TrialView
from tests.tui.test_dashboard import asked, select, text, toasts
from tui.app import Dashboard
from tui.jobs.filters import Chip
from tui.screens.confirm import Confirm

pytestmark = pytest.mark.slow(seconds=1)

SIZE = (140, 44)
LR = "train.optim.lr"


@pytest.fixture
def swept(busy: Any) -> JobView:
    """A running sweep with two trials that are done and one that runs."""
    job = busy.add_job(trials=3, reason="runs its trials", seconds_ago=1, owner_name="cats")
    of_trials = [
        busy.add_job(
            state=state, sweep_id=job.id, trial=number, owner_id=job.owner_id, owner_name="cats", seconds_ago=0.9
        )
        for number, state in enumerate((State.DONE, State.DONE, State.RUNNING))
    ]
    busy.of_trials = of_trials
    busy.logs[of_trials[1].id] = bytearray(b"of trial one\n")
    values = (0.5, 0.2, None)
    trials = [
        TrialView(
            number=number, job_id=of_trials[number].id, params={LR: 10.0**-number}, value=value, epochs=3,
            state=of_trials[number].state, outcome="open" if value is None else "done",
        )
        for number, value in enumerate(values)
    ]  # fmt: skip
    busy.sweeps[job.id] = SweepView(
        job_id=job.id, state=State.RUNNING, reason="", algorithm="Bayesian", sampler="gp", metric="loss",
        direction="minimise", best=1, best_value=0.2, best_params=trials[1].params, trials=trials, planned=5,
        space=[Dimension(path=LR, kind="float", low=1e-5, high=1.0, log=True)], notes=[], importances=[],
        epochs_trained=7,
    )  # fmt: skip
    return job


def trials_of(app: Dashboard) -> list[str]:
    table = app.screen.job.trials.table
    return [table.get_row_at(index)[1].plain.strip() for index in range(table.row_count)]


def all_jobs(app: Dashboard) -> str:
    return str(app.screen.query(Chip).first().render())


async def open_trials(app: Dashboard, pilot: Any, until: Any, job: JobView) -> None:
    await select(app, pilot, until, job.id)
    await pilot.press("w")
    await until(pilot, lambda: app.screen.job.trials.table.row_count == 3)


async def test_only_a_sweep_has_the_tab_of_trials(dashboard: Dashboard, busy: Any, swept: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        tabs = dashboard.screen.query_one("#tabs")
        await pilot.press("w")
        assert tabs.active == "tab-log"
        assert not tabs.get_tab("tab-trials").display
        await open_trials(dashboard, pilot, until, swept)
        assert tabs.active == "tab-trials"
        assert "1 by gp" not in text(dashboard, "#sweep-head")
        assert "Bayesian by gp 2 of 5 trials done, 1 open" in text(dashboard, "#sweep-head")
        assert "best (lowest) loss 0.2 by trial 1: lr 0.1" in text(dashboard, "#sweep-head")
        await select(dashboard, pilot, until, busy.train.id)
        assert tabs.active == "tab-log"


@pytest.mark.slow
async def test_trials_are_ordered_and_updated_by_events(
    dashboard: Dashboard, busy: Any, swept: Any, until: Any
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await open_trials(dashboard, pilot, until, swept)
        assert trials_of(dashboard) == ["0", "1", "2"]
        await pilot.press("o")
        await until(pilot, lambda: trials_of(dashboard) == ["1", "0", "2"])
        await pilot.press("down", "down")
        pane = dashboard.screen.job.trials
        assert pane.chosen.number == 2
        sweep = busy.sweeps[swept.id]
        better = msgspec.structs.replace(sweep.trials[2], value=0.1, outcome="done", state=State.DONE)
        busy.sweeps[swept.id] = msgspec.structs.replace(
            sweep, trials=[*sweep.trials[:2], better], best=2, best_value=0.1
        )
        busy.change(busy.of_trials[2].id, state=State.DONE)
        await until(pilot, lambda: "3 of 5 trials done" in text(dashboard, "#sweep-head"))
        assert trials_of(dashboard) == ["2", "1", "0"]
        assert pane.chosen.number == 2, "the cursor stays on its trial"
        assert not any("trial" in note.lower() or "Done" in note for note in toasts(dashboard)), "no toast for a trial"


async def test_a_sweep_whose_tab_is_closed_is_not_read(dashboard: Dashboard, busy: Any, swept: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, swept.id)
        busy.change(busy.of_trials[2].id, reason="continues")
        busy.change(swept.id, reason="a later event")
        await until(pilot, lambda: dashboard.screen.job.view.reason == "a later event")
        assert asked(busy, "GET", "/sweep") == 0


async def test_enter_opens_the_job_of_a_trial_and_escape_returns(
    dashboard: Dashboard, busy: Any, swept: Any, until: Any
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await open_trials(dashboard, pilot, until, swept)
        await pilot.press("down", "enter")
        panel = dashboard.screen.job
        await until(pilot, lambda: panel.detail is not None and panel.detail.job.id == busy.of_trials[1].id)
        assert "trial 1" in str(panel.border_title)
        lines = panel.log_view.lines
        await until(pilot, lambda: [lines[at] for at in range(len(lines))] == ["of trial one"])
        assert dashboard.screen.jobs.selected.id == swept.id
        await pilot.press("escape")
        await until(pilot, lambda: panel.view.id == swept.id and panel.trials.table.row_count == 3)
        assert dashboard.screen.query_one("#tabs").active == "tab-trials"


@pytest.mark.slow
async def test_keys_act_on_the_open_trial_not_on_its_sweep(
    dashboard: Dashboard, busy: Any, swept: Any, until: Any
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await open_trials(dashboard, pilot, until, swept)
        await pilot.press("end", "down", "down", "enter")
        running = busy.of_trials[2].id
        await until(pilot, lambda: dashboard.screen.job.view.id == running)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(dashboard.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: busy.jobs[running].state is State.CANCELLED)
        assert busy.jobs[swept.id].state is State.RUNNING
        await pilot.press("escape")
        await until(pilot, lambda: dashboard.screen.job.view.id == swept.id)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(dashboard.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: busy.jobs[swept.id].state is State.CANCELLED)


@pytest.mark.slow
async def test_stopping_early_asks_and_states_what_is_kept(
    dashboard: Dashboard, busy: Any, swept: Any, until: Any
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await open_trials(dashboard, pilot, until, swept)
        await pilot.press("x")
        await until(pilot, lambda: "Trial 1 is its model. 1 open trial will be" in text(dashboard, ".consequence"))
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(dashboard.screen, Confirm))
        assert asked(busy, "POST", "/finish") == 0
        await pilot.press("x")
        await until(pilot, lambda: isinstance(dashboard.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: busy.jobs[swept.id].state is State.STOPPING)


@pytest.mark.slow
async def test_the_table_is_saved_locally(
    dashboard: Dashboard, swept: Any, until: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    async with dashboard.run_test(size=SIZE) as pilot:
        await open_trials(dashboard, pilot, until, swept)
        await pilot.press("s")
        await until(pilot, lambda: any("Saved" in note for note in toasts(dashboard)))
        assert (tmp_path / f"sweep-{swept.id[:8]}.csv").read_text() == "0,0.5\n1,0.2\n2,None\n"


async def test_the_list_hides_trials_until_they_are_requested(
    dashboard: Dashboard, busy: Any, swept: Any, until: Any
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, swept.id)
        table = dashboard.screen.jobs.table
        assert len(table.rows) == 4
        await until(pilot, lambda: all_jobs(dashboard) == "All 4")
        busy.change(busy.of_trials[2].id, reason="continues")
        late = busy.add_job(sweep_id=swept.id, trial=3)
        busy.publish(EventType.JOB, late)
        await pilot.press("T")
        await until(pilot, lambda: len(table.rows) == 8 and late.id in table.rows)
        await until(pilot, lambda: all_jobs(dashboard) == "All 8")
        await pilot.press("T")
        await until(pilot, lambda: len(table.rows) == 4 and all_jobs(dashboard) == "All 4")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (220, 60)])
@pytest.mark.slow
async def test_it_fits_small_and_large_terminals(
    dashboard: Dashboard, swept: Any, until: Any, size: tuple[int, int]
) -> None:
    async with dashboard.run_test(size=size) as pilot:
        await open_trials(dashboard, pilot, until, swept)
        await pilot.press("escape", "enter", "w")
        pane = dashboard.screen.job.trials
        sides = [dashboard.screen.query_one(f"#{name}") for name in ("parallel", "values", "matters")]
        shown = [side.display for side in sides]
        assert sum(shown) in (1, 3)
        seen = {tuple(shown)}
        for _ in range(3):
            await pilot.press("v")
            seen.add(tuple(side.display for side in sides))
        assert len(seen) == (1 if all(shown) else 3)
        assert pane.table.size.height >= 3


async def test_resource_usage_of_a_run_is_shown_live(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("d")
        busy.publish(EventType.USAGE, JobUsage(busy.train.id, 150.0, 2**30, None, 3))
        busy.publish(EventType.USAGE, JobUsage("another", 7.0, 2**20, None, 1))
        await until(pilot, lambda: "150% in 3 processes" in text(dashboard, "#usage"))
        assert "1.0 GiB" in text(dashboard, "#usage")
        assert "gpu" not in text(dashboard, "#usage")
        busy.publish(EventType.USAGE, JobUsage(busy.train.id, 75.0, 2**31, 2**30, 1))
        await until(pilot, lambda: "75%" in text(dashboard, "#usage") and "█▅" in text(dashboard, "#usage"))
        busy.change(busy.train.id, state=State.DONE)
        await until(pilot, lambda: not dashboard.screen.query_one("#usage").display)


async def seen(condition: Callable[[], Any]) -> None:
    """As soon as it holds: `until` would let the dashboard finish what it is at."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise TimeoutError


async def test_a_plot_that_is_drawn_while_it_is_being_mounted_stays_the_only_one(
    dashboard: Dashboard, busy: Any, swept: Any, until: Any
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, swept.id)
        job = dashboard.screen.job
        job.open("trials")
        await seen(lambda: job.trials.query("ValuePlot"))
        job.trials._draw_plots()  # as an event does at this moment
        await select(dashboard, pilot, until, busy.train.id)
        job.open("kpis")
        await seen(lambda: job.kpis.query("MetricPlot"))
        job.kpis._draw()
        await until(pilot, lambda: not any(worker.group == "plot" for worker in dashboard.workers))
        assert (len(job.trials.query("ValuePlot")), len(job.kpis.query("MetricPlot"))) == (1, 1)
