"""Each fault of a COCO dataset, end to end: uploaded to a real daemon over HTTP and named in the check's report."""

from __future__ import annotations

import asyncio
import os
import tarfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from taod.client import AsyncClient
from taod.types.dataset import CheckProgress, CheckState, DatasetCreate, DatasetReport
from tests.datasets.broken_contents import BROKEN
from tests.datasets.expected_texts import sections
from tests.datasets.valid_sets import VALID
from tests.e2e.journey import Daemon
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

KINDS = [kind for kind in BROKEN if kind[1] == "coco"]
PROBLEMS = sections("problems.txt")


@pytest.fixture
async def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Daemon]:
    """A daemon that checks a dataset as soon as it is uploaded."""
    monkeypatch.setitem(os.environ, "TAOD_DATASETS_CHECK_AFTER_S", "0")
    started = Daemon(tmp_path / "root").start()
    yield started
    assert started.stop() == 0


async def report_after_upload(client: AsyncClient, dataset_id: str, archive: Path) -> DatasetReport:
    """Upload, and wait by the event stream for the end of the check that the upload starts."""
    connected, over = asyncio.Event(), asyncio.Event()

    async def watch() -> None:
        async with aclosing(
            client.events.stream(on_connection=lambda up, _: connected.set() if up else None)
        ) as events:
            async for _, body in events:
                if isinstance(body, CheckProgress) and body.dataset_id == dataset_id and body.state is CheckState.DONE:
                    over.set()

    watching = asyncio.create_task(watch())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await connected.wait()
            await client.datasets.upload(dataset_id, archive)
            await over.wait()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return await client.datasets.report(dataset_id)


@pytest.mark.parametrize(("type_", "format_"), KINDS)
async def test_each_coco_fault_is_named_in_the_report_after_an_upload(
    type_: str, format_: str, client: AsyncClient, tmp_path: Path
) -> None:
    dataset = await client.datasets.create(DatasetCreate(type=type_, format=format_))
    assert len(BROKEN[type_, format_]) > 20
    for number, (name, breaks) in enumerate(BROKEN[type_, format_].items()):
        top = tmp_path / str(number)
        VALID[type_, format_](top)
        breaks(top)
        archive = tmp_path / f"{number}.tar"
        with tarfile.open(archive, "w") as packed:
            packed.add(top, "dataset")
        report = await report_after_upload(client, dataset.id, archive)
        found = [f"{each.file}:{each.line}: {each.what}; expected {each.expected}" for each in report.first]
        assert "\n".join(found) == PROBLEMS[type_, format_, name], name
        assert report.problems == len(found)
