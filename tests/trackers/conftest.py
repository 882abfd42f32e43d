"""Daemons with trackers, one after the other over the same root."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from runners import processes
from taod.types.state import ON_DEVICE
from tests.patience import PATIENCE_S
from tests.trackers.tracked_world import Tracked


@pytest.fixture
async def tracked(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Tracked]]]:
    last: list[Tracked] = []

    async def stop() -> None:
        for each in last:
            await each.stop()
        last.clear()

    async def start(*, run: bool = True, **more: Any) -> Tracked:
        await stop()
        last.append(Tracked(tmp_path / "root", **more))
        if run:
            await last[0].start()
        return last[0]

    start.stop = stop  # type: ignore[attr-defined]
    yield start
    for each in last:
        for job in each.world.store.jobs.in_states(ON_DEVICE):
            processes.kill_all(f"TAOD_RUN={job.id}/{job.attempt}", None)
    await stop()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a file or a row, which nothing announces, has become so."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
