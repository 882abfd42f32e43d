"""Uploads of other clients on the page of datasets, shown by events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from taod.client import AsyncClient
from taod.types.dataset import CheckProgress, CheckState, Dataset, DatasetCreate, DatasetSummary, UploadProgress
from taod.types.event import EventType, ResourceChange
from taod.types.state import State
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


async def test_an_upload_of_another_client_has_a_line_until_it_ends(
    dashboard: Dashboard, client: AsyncClient, world: Any, until: Any
) -> None:
    async with flowers(dashboard, client, until) as (made, pilot):
        world.publish(EventType.UPLOAD, UploadProgress(made.id, "receiving", 2**20, 2**22, files=3, unpacked=2**20))
        await until(pilot, lambda: "1.0 MiB of 4.0 MiB" in text(dashboard, ".upload"))
        assert text(dashboard, ".upload").startswith("flowers")
        await until(pilot, lambda: "3 files" in text(dashboard, "#dataset-upload"))
        world.publish(EventType.UPLOAD, UploadProgress(made.id, "unpacking", 2**22, 2**22, files=9))
        await until(pilot, lambda: "unpacking" in text(dashboard, ".upload"))
        assert len(dashboard.screen.query(".upload")) == 1
        world.publish(EventType.UPLOAD, UploadProgress(made.id, "done", 2**22, 2**22))
        await until(pilot, lambda: not dashboard.screen.query(".upload"))
        await until(pilot, lambda: not dashboard.screen.query_one("#dataset-upload").display)


@pytest.mark.parametrize("stage, words", [("receiving", "3 files"), ("done", "")])
async def test_progress_that_arrives_while_the_details_are_requested_is_kept(
    dashboard: Dashboard, client: AsyncClient, world: Any, until: Any, stage: str, words: str
) -> None:
    async with flowers(dashboard, client, until) as (made, pilot):
        datasets = dashboard.client.datasets
        request, requested, answer = datasets.summary, asyncio.Event(), asyncio.Event()

        async def slow(dataset_id: str) -> DatasetSummary:
            found = await request(dataset_id)
            found.upload = UploadProgress(made.id, "receiving", 1, 2**22) if stage == "done" else None
            requested.set()
            await answer.wait()
            return found

        datasets.summary = slow  # type: ignore[method-assign]
        await until(pilot, lambda: dashboard.screen.query_one("#dataset-facts").region.height)
        dashboard.screen.show_selected()
        await requested.wait()
        world.publish(EventType.UPLOAD, UploadProgress(made.id, stage, 2**20, 2**22, files=3, unpacked=2**20))
        world.publish(EventType.JOB, world.add_job(state=State.QUEUED))  # a later event, whose effect is visible
        await until(pilot, lambda: "1 queued" in text(dashboard, "#header-counts"))
        answer.set()
        await until(pilot, lambda: asked(world, "GET", "/report") == 2)
        shown = dashboard.screen.query_one("#dataset-upload")
        await until(pilot, lambda: words in text(dashboard, "#dataset-upload") and shown.display == bool(words))


async def test_a_failed_upload_shows_the_reason(
    dashboard: Dashboard, client: AsyncClient, world: Any, until: Any
) -> None:
    async with flowers(dashboard, client, until) as (made, pilot):
        world.publish(EventType.UPLOAD, UploadProgress(made.id, "failed", 5, 10, message="no archive"))
        await until(pilot, lambda: "rejected no archive" in text(dashboard, "#dataset-upload"))
        assert not dashboard.screen.query(".upload")


async def test_the_progress_of_a_check_comes_by_events_without_requests(
    dashboard: Dashboard, client: AsyncClient, world: Any, until: Any
) -> None:
    async with flowers(dashboard, client, until) as (made, pilot):
        await until(pilot, lambda: asked(world, "GET", "/report") == 1)
        for share in (0.25, 0.75):
            world.publish(EventType.CHECK, CheckProgress(made.id, CheckState.RUNNING, "300 items checked", share))
            await until(pilot, lambda share=share: f"{share:.0%}" in text(dashboard, "#dataset-report"))
        world.publish(EventType.CHECK, CheckProgress("another", CheckState.RUNNING, "of another", 0.9))
        world.publish(EventType.JOB, world.add_job(state=State.QUEUED))  # a later event, whose effect is visible
        await until(pilot, lambda: "1 queued" in text(dashboard, "#header-counts"))
        assert "75%" in text(dashboard, "#dataset-report")
        assert asked(world, "GET", "/report") == 1
        world.publish(EventType.DATASET, ResourceChange(made.id, "checked"))
        await until(pilot, lambda: asked(world, "GET", "/report") == 2)
