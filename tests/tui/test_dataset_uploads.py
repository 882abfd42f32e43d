"""Uploads of other clients on the page of datasets, as events tell of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from taod.client import AsyncClient
from taod.types.dataset import CheckProgress, CheckState, Dataset, DatasetCreate, UploadProgress
from taod.types.event import EventType, ResourceChange
from tests.tui.test_dashboard import asked, text
from tui.app import Dashboard

SIZE = (140, 44)


@asynccontextmanager
async def flowers(dashboard: Dashboard, client: AsyncClient, until: Any) -> AsyncIterator[tuple[Dataset, Any]]:
    """A dataset that the dashboard shows, selected, and the pilot."""
    made = await client.datasets.create(DatasetCreate("image_classification", "classification_pyt", name="flowers"))
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        await pilot.press("D")
        await until(pilot, lambda: dashboard.screen.selected is not None)
        yield made, pilot


async def test_an_upload_from_elsewhere_has_a_line_and_a_bar_until_it_is_over(
    dashboard: Dashboard, client: AsyncClient, world: Any, until: Any
) -> None:
    async with flowers(dashboard, client, until) as (made, pilot):
        world.tell(EventType.UPLOAD, UploadProgress(made.id, "receiving", 2**20, 2**22, files=3, unpacked=2**20))
        await until(pilot, lambda: "1.0 MiB of 4.0 MiB" in text(dashboard, ".upload"))
        assert text(dashboard, ".upload").startswith("flowers")
        await until(pilot, lambda: "3 files" in text(dashboard, "#dataset-upload"))
        world.tell(EventType.UPLOAD, UploadProgress(made.id, "unpacking", 2**22, 2**22, files=9))
        await until(pilot, lambda: "unpacking" in text(dashboard, ".upload"))
        assert len(dashboard.screen.query(".upload")) == 1
        world.tell(EventType.UPLOAD, UploadProgress(made.id, "done", 2**22, 2**22))
        await until(pilot, lambda: not dashboard.screen.query(".upload"))
        await until(pilot, lambda: not dashboard.screen.query_one("#dataset-upload").display)


async def test_one_that_failed_says_why(dashboard: Dashboard, client: AsyncClient, world: Any, until: Any) -> None:
    async with flowers(dashboard, client, until) as (made, pilot):
        world.tell(EventType.UPLOAD, UploadProgress(made.id, "failed", 5, 10, message="no archive"))
        await until(pilot, lambda: "was not taken no archive" in text(dashboard, "#dataset-upload"))
        assert not dashboard.screen.query(".upload")


async def test_how_far_a_check_is_comes_by_events_and_nobody_asks(
    dashboard: Dashboard, client: AsyncClient, world: Any, until: Any
) -> None:
    async with flowers(dashboard, client, until) as (made, pilot):
        await until(pilot, lambda: asked(world, "GET", "/report") == 1)
        for share in (0.25, 0.75):
            world.tell(EventType.CHECK, CheckProgress(made.id, CheckState.RUNNING, "300 items checked", share))
            await until(pilot, lambda share=share: f"{share:.0%}" in text(dashboard, "#dataset-report"))
        world.tell(EventType.CHECK, CheckProgress("another", CheckState.RUNNING, "of another", 0.9))
        await pilot.pause()
        assert "75%" in text(dashboard, "#dataset-report")
        assert asked(world, "GET", "/report") == 1
        world.tell(EventType.DATASET, ResourceChange(made.id, "checked"))
        await until(pilot, lambda: asked(world, "GET", "/report") == 2)
