"""Backfilling by a scheduler over real processes: reserved slots run a job whose time limit ends it first."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sched_world import GOOD, LONG, World, end_all

from taod.config import SupervisionConfig, SupervisionRule
from taod.types.state import State
from tests.patience import PATIENCE_S


async def until_reason(world: World, job_id: str, words: str) -> None:
    async with world.bus.subscribe(None) as stream:
        while words not in world.job(job_id).reason_text:
            await anext(stream)


@pytest.mark.parametrize("limited", [True, False])
async def test_a_short_job_is_backfilled_only_if_limits_bound_both_ends(tmp_path: Path, limited: bool) -> None:
    rules = [SupervisionRule(action="train", wall_s=600), SupervisionRule(action="export", wall_s=60)]
    world = World(tmp_path / "root", slots=2, in_memory=True, supervision=SupervisionConfig(rule=rules * limited))
    await world.scheduler.start()
    owner = world.owner()
    train = world.post(LONG, owner=owner)
    await world.until_epoch(train)
    large = world.post(GOOD, owner=owner, devices_wanted=2)
    short = world.post(LONG, owner=owner, action="export")
    if limited:
        await world.until_epoch(short)
        world.file(short, "go").touch()
        await world.until(short, State.DONE)
        assert world.job(large).state is State.QUEUED
    else:
        await asyncio.wait_for(until_reason(world, short, "kept for train"), PATIENCE_S)
    world.file(train, "go").touch()
    await world.until(large, State.DONE)
    if not limited:
        await world.until_epoch(short)
        world.file(short, "go").touch()
    await world.until(short, State.DONE)
    await end_all(world)
