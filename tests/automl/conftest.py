"""The tests of sweeps share a world: a running scheduler over a fresh root."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sweep_world import World

from runners import processes
from taod.types.state import ON_DEVICE


async def end_all(world: World) -> None:
    """Stop watching, kill what a test left running, and close."""
    await world.scheduler.stop()
    for job in world.store.jobs.in_states(ON_DEVICE):
        processes.kill_all(f"TAOD_RUN={job.id}/{job.attempt}", None)
    await world.close()


@pytest.fixture
async def make_world(tmp_path: Path) -> AsyncIterator[Any]:
    """Makes worlds over one root, one after the other; the last one is ended with the test."""
    made: list[World] = []

    async def make(**options: Any) -> World:
        world = World(tmp_path / "root", **options)
        await world.scheduler.start()
        made.append(world)
        return world

    yield make
    if made:
        await end_all(made[-1])
