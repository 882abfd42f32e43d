"""The scheduler's tests share a world: a running scheduler over a fresh root."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sched_world import World, end_all


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "root", in_memory=True)
    await world.scheduler.start()
    yield world
    await end_all(world)
