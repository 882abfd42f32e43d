"""Keys that act on several jobs or on the queue, and undo."""

from __future__ import annotations

from typing import Any

from taod.client import AsyncClient
from taod.types.state import State
from tests.tui.test_dashboard import asked, select, text
from tui.app import Dashboard
from tui.queue.form import PauseQueue
from tui.run.dialogue import RunDialogue
from tui.screens.confirm import Confirm

SIZE = (130, 40)


async def test_marked_jobs_are_cancelled_together_after_one_question(
    dashboard: Dashboard, busy: Any, until: Any
) -> None:
    queued = [busy.add_job(state=State.QUEUED, owner_name=f"m{n}", seconds_ago=n) for n in range(4)]
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 7)
        dashboard.screen.jobs.table.select(queued[0].id)
        await pilot.press("space", "space", "space", "space")
        await until(pilot, lambda: dashboard.screen.jobs.marked == {view.id for view in queued})
        assert "4 marked" in str(dashboard.screen.jobs.border_subtitle)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(dashboard.screen, Confirm))
        assert "Cancel 4 jobs?" in text(dashboard, ".question")
        assert "4 have not started" in text(dashboard, ".consequence")
        await pilot.press("y")
        await until(pilot, lambda: all(busy.jobs[view.id].state is State.CANCELLED for view in queued))
        assert busy.jobs[busy.train.id].state is State.RUNNING
        await pilot.press("escape")
        await until(pilot, lambda: not dashboard.screen.jobs.marked)


async def test_undo_reverts_changes_one_by_one(dashboard: Dashboard, busy: Any, until: Any) -> None:
    queued = busy.add_job(state=State.QUEUED, seconds_ago=1)
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, queued.id)
        await pilot.press("plus")
        await until(pilot, lambda: busy.jobs[queued.id].priority == 10)
        await until(pilot, lambda: dashboard.screen.jobs.selected.priority == 10)
        await pilot.press("h")
        await until(pilot, lambda: busy.jobs[queued.id].state is State.HELD)
        await pilot.press("u")
        await until(pilot, lambda: busy.jobs[queued.id].state is State.QUEUED)
        await pilot.press("u")
        await until(pilot, lambda: busy.jobs[queued.id].priority == 0)
        before = asked(busy, "PATCH", queued.id)
        await pilot.press("u")
        await until(pilot, lambda: any("nothing to undo" in note.message for note in dashboard._notifications))
        assert asked(busy, "PATCH", queued.id) == before == 4


async def test_a_rejected_change_is_not_reported_as_done_and_cannot_be_undone(
    dashboard: Dashboard, busy: Any, until: Any
) -> None:
    queued = busy.add_job(state=State.QUEUED, seconds_ago=1)
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, queued.id)
        await until(pilot, lambda: dashboard.screen.job.detail is not None)
        busy.errors[f"/job/{queued.id}"] = "it has been started meanwhile"
        for key in ("h", "plus"):
            before = len(dashboard._notifications)
            await pilot.press(key)
            await until(pilot, lambda before=before: len(dashboard._notifications) > before)
            await until(pilot, lambda: not any(work.group == "act" and work.is_running for work in dashboard.workers))
        said = [note.message for note in dashboard._notifications]
        assert len(said) == 2
        assert all("it has been started meanwhile" in note for note in said)
        await pilot.press("u")
        said = [note.message for note in dashboard._notifications]
        assert said[-1] == "There is nothing to undo."


async def test_only_ended_jobs_are_deleted(dashboard: Dashboard, busy: Any, until: Any) -> None:
    failed = next(view for view in busy.jobs.values() if view.state is State.FAILED)
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, failed.id)
        await pilot.press("asterisk")
        await until(pilot, lambda: len(dashboard.screen.jobs.marked) == 3)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(dashboard.screen, Confirm))
        assert f"Delete train {failed.id[:8]}" in text(dashboard, ".question")
        await pilot.press("y")
        await until(pilot, lambda: failed.id not in dashboard.screen.jobs.table.rows)
        assert len(busy.jobs) == 2


async def test_a_disabled_key_shows_the_reason(dashboard: Dashboard, world: Any, until: Any) -> None:
    queued = world.add_job(state=State.QUEUED, action="evaluate")
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.screen.jobs.table.selected_id == queued.id)
        for key, words in (("p", "Only a running train, distill or retrain can be paused"), ("x", "cancel it first")):
            await pilot.press(key)
            said = [note.message for note in dashboard._notifications]
            assert any(words in note and "an evaluate that is queued" in note for note in said)
        for keys, words in (("u", "There is nothing to undo."), ("Mt", "No model is selected. n: create one")):
            await pilot.press(*keys)
            assert [note.message for note in dashboard._notifications][-1] == words


async def test_the_queue_is_paused_with_a_reason_and_resumed(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(dashboard.screen.jobs.table.rows) == 3 and dashboard.queue is not None)
        assert not dashboard.screen.query_one("#queue-banner").display
        await pilot.press("Q")
        await until(pilot, lambda: isinstance(dashboard.screen, PauseQueue))
        await pilot.press(*"lunch", "ctrl+s")
        await until(pilot, lambda: "paused by ann" in text(dashboard, "#queue-banner"))
        assert "lunch" in text(dashboard, "#queue-banner")
        await pilot.press("D")
        await until(pilot, lambda: "lunch" in text(dashboard, "#queue-banner"))
        await pilot.press("Q")
        await until(pilot, lambda: not busy.queue.paused)
        await until(pilot, lambda: not dashboard.screen.query_one("#queue-banner").display)


async def test_the_run_dialogue_opens_with_the_parent_that_was_given(
    dashboard: Dashboard, client: AsyncClient, busy: Any, until: Any
) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        dialogue = RunDialogue(
            client, "model", busy.train.owner_id, "digits", "classification_pyt", list(busy.jobs.values()),
            actions=["evaluate"], parent=busy.train.id,
        )  # fmt: skip
        dashboard.push_screen(dialogue)
        await until(pilot, lambda: dialogue.is_ready and dialogue.chosen_actions == ["evaluate"])
        assert dialogue.chosen("#parent") == busy.train.id
