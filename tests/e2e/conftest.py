"""A real daemon on a real socket and root, and a small real dataset."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from taod.cli.support import sample_dataset
from taod.client import AsyncClient
from tests.e2e.journey import Daemon, until


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A running daemon. At the end, all of its jobs are cancelled and it is stopped."""
    started = Daemon(tmp_path / "root").start()
    yield started
    if not started.running:
        started.start()
    async with started.client() as client:
        for view in (await client.jobs.list()).items:
            if not view.state.ended:
                await client.jobs.cancel(view.id)
                await until(client, view.id, lambda detail: detail.job.state.ended)
    assert started.stop() == 0


@pytest.fixture
async def client(daemon: Daemon) -> AsyncIterator[AsyncClient]:
    async with daemon.client() as opened:
        yield opened


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The digits as images, written once."""
    folder = tmp_path_factory.mktemp("digits")
    sample_dataset.write(folder)
    yield folder
