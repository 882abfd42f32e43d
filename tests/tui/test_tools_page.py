"""The page of tools: consent before an installation, its progress, and a removal; and the move of a model."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from textual.widgets import Select

from taod.types.event import EventType
from taod.types.tool import ToolProgress
from tests.tui import scene
from tests.tui.test_dashboard import asked, text
from tests.tui.test_lifecycle import contract_model
from tui.app import Dashboard
from tui.models.release import ReleaseForm
from tui.screens.confirm import Confirm
from tui.tools.form import InstallTool

pytestmark = pytest.mark.slow(seconds=2)

SIZE = (130, 40)


def drawn(dashboard: Dashboard) -> str:
    return "\n".join(strip.text for strip in dashboard.screen._compositor.render_strips())


async def test_a_tool_is_installed_only_with_consent_and_its_progress_is_shown(
    dashboard: Dashboard, busy: Any, until: Any
) -> None:
    busy.tools = scene.tools(busy.stamp(60))
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        await pilot.press("P")
        await until(pilot, lambda: dashboard.screen.NAME == "tools" and dashboard.screen.selected is not None)
        await pilot.press("n")
        await until(pilot, lambda: any("installed already" in note.message for note in dashboard._notifications))
        await pilot.press("down", "n")
        await until(pilot, lambda: isinstance(dashboard.screen, InstallTool))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "accept Apache License 2.0" in text(dashboard, "#form-error"))
        assert not asked(busy, "POST", "/tools/data-services")
        dashboard.screen.query_one("#kind", Select).value = "cpu"
        await until(pilot, lambda: "3.0 GB of disk" in drawn(dashboard))
        dashboard.screen.query_one("#licence", Select).value = True
        await pilot.press("ctrl+s")
        await until(pilot, lambda: dashboard.screen.NAME == "tools")
        assert asked(busy, "POST", "/tools/data-services") == 1
        name = "data-services-7.3.0-cpu"
        found = msgspec.structs.replace(busy.tools[0].environments[0], name=name, tool="data-services")
        busy.tools[1] = msgspec.structs.replace(busy.tools[1], environments=[found])
        busy.publish(EventType.TOOL, ToolProgress(name, 2, 6, "PyTorch", "torch", 520_000_000, 41.0))
        await until(pilot, lambda: "2/6 PyTorch" in drawn(dashboard))
        await until(pilot, lambda: dashboard.screen.listing.table.select(name))
        await until(pilot, lambda: "520 MB in 41 s" in drawn(dashboard))
        busy.publish(EventType.TOOL, ToolProgress(name, 6, 6, "check", ended=True, error="torch: no space; free some"))
        await until(pilot, lambda: any("no space" in note.message for note in dashboard._notifications))
        await until(pilot, lambda: "2/6 PyTorch" not in drawn(dashboard))


async def test_an_environment_is_removed_after_a_question(dashboard: Dashboard, busy: Any, until: Any) -> None:
    busy.tools = scene.tools(busy.stamp(60))
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        await pilot.press("P")
        await until(pilot, lambda: dashboard.screen.NAME == "tools" and dashboard.screen.selected is not None)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(dashboard.screen, Confirm))
        assert text(dashboard, ".question") == "Remove pytorch-7.3.0-cpu?"
        await pilot.press("n", "x")
        await until(pilot, lambda: isinstance(dashboard.screen, Confirm))
        assert busy.tools[0].environments
        await pilot.press("y")
        await until(pilot, lambda: not busy.tools[0].environments)
        await until(
            pilot, lambda: dashboard.screen.selected is not None and dashboard.screen.selected.environment is None
        )


@pytest.mark.slow
async def test_a_model_with_checkpoints_moves_only_when_they_are_abandoned(
    dashboard: Dashboard, busy: Any, until: Any
) -> None:
    model = contract_model()
    busy.models[model.id] = model
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        await pilot.press("M")
        await until(pilot, lambda: dashboard.screen.NAME == "models" and dashboard.screen.selected is not None)
        busy.release_change = scene.fill_release(model.id)
        await pilot.press("u")
        await until(pilot, lambda: isinstance(dashboard.screen, ReleaseForm))
        await until(pilot, lambda: "train.num_epochs" in drawn(dashboard))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "which another release cannot use" in text(dashboard, "#form-error"))
        dashboard.screen.query_one("#checkpoints", Select).value = True
        await pilot.press("ctrl+s")
        await until(pilot, lambda: busy.models[model.id].release == "7.3")
        await until(pilot, lambda: dashboard.screen.NAME == "models" and "release" in drawn(dashboard))
