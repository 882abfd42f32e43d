"""What runs used is stored with them: energy by the GPUs' counters, peaks of memory, over restarts and attempts."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from nvml_scenario import GIB, Scenario, gpu, mig
from rich.console import Console
from sched_world import GOOD, World, end_all

from taod.cli.support import jobs_table
from taod.cli.support.output import Output
from taod.client.comparison import compare
from taod.config import DevicesConfig, SupervisionConfig
from taod.types.job import JobDetail, JobResources
from taod.types.state import State
from tests.patience import PATIENCE_S
from tui.job.details import job_table

J = 1000
"""The unit of the counters, millijoules, in joules."""
WH = 3600 * J
GATED = "touch ready; wait_for go; " + GOOD
ALLOCATES = f"""{sys.executable} -c 'b = bytearray(150 << 20); del b; open("ready", "w"); import time
import os
while not os.path.exists("go"): time.sleep(0.01)'; {GOOD}"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[World]]]:
    """Starts schedulers over the same root, one after the other."""
    last: list[World] = []

    async def start(**devices: Any) -> World:
        if last:
            await last.pop().close()
        supervision = SupervisionConfig(sample_s=0.05, retries=1, retry_exits=[7], backoff_s=0.01)
        config = DevicesConfig(telemetry_s=0.02, **devices)
        last.append(World(tmp_path / "root", devices=config, supervision=supervision))
        await last[0].scheduler.start()
        return last[0]

    yield start
    await end_all(last[0])


def used(world: World, job: str) -> JobResources:
    return world.store.runs.used(job) or JobResources()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - a row, which nothing announces
            await asyncio.sleep(0.01)


async def ready(world: World, job: str) -> None:
    await until(world.file(job, "ready").exists)
    await world.until(job, State.RUNNING)


async def test_energy_is_what_the_counters_passed_also_over_a_restart(
    world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = Scenario(tmp_path, gpu(0, energy=500 * WH), gpu(1, energy=10 * WH))
    scenario.use(monkeypatch)
    one = await world()
    job = one.post(GATED, devices_wanted=2)
    await ready(one, job)
    scenario.set("GPU-0", energy=501 * WH)
    await until(lambda: used(one, job).energy_wh == pytest.approx(1))  # while it runs
    two = await world()
    scenario.set("GPU-1", energy=12 * WH)
    two.file(job, "go").touch()
    await two.settled([job])
    assert used(two, job).energy_wh == pytest.approx(3) and not used(two, job).energy_shared
    scenario.set("GPU-0", energy=900 * WH)
    third = await world()
    other = third.post(GOOD)
    await third.settled([other])
    assert used(third, job).energy_wh == pytest.approx(3) and used(third, other).energy_wh == 0


async def test_attempts_and_trials_add_up(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario(tmp_path, gpu(0, energy=0))
    scenario.use(monkeypatch)
    one = await world()
    owner = one.owner()
    sweep = one.post(GOOD, owner=owner)
    job = one.post(
        "if [ -e once ]; then touch ready; wait_for go; else touch once; wait_for first; exit 7; fi;" + GOOD,
        owner=owner, sweep_id=sweep, trial=0,
    )  # fmt: skip
    await until(one.file(job, "once").exists)
    await until(lambda: one.job(job).state is State.RUNNING)
    scenario.set("GPU-0", energy=1 * WH)
    one.file(job, "first").touch()
    await ready(one, job)
    await until(lambda: one.job(job).attempt == 2 and one.job(job).state is State.RUNNING)
    scenario.set("GPU-0", energy=5 * WH)
    one.file(job, "go").touch()
    await one.settled([job])
    assert used(one, job).energy_wh == pytest.approx(5)
    assert used(one, sweep).energy_wh == pytest.approx(5)


@pytest.mark.parametrize("gone", ["mute", "reset", "lost"])
async def test_energy_that_is_not_known_is_null_or_the_last_known(
    world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    scenario = Scenario(tmp_path, gpu(0, energy=7 * WH, mute=["energy"] if gone == "mute" else []))
    scenario.use(monkeypatch)
    one = await world()
    job = one.post(GATED)
    await ready(one, job)
    await until(lambda: used(one, job).peak_rss_bytes is not None)
    if gone != "mute":
        scenario.set("GPU-0", energy=8 * WH)
        await until(lambda: used(one, job).energy_wh == pytest.approx(1))
        scenario.set("GPU-0", **({"energy": 0} if gone == "reset" else {"lost": True}))
    one.file(job, "go").touch()
    await one.settled([job])
    assert used(one, job).energy_wh == (None if gone == "mute" else pytest.approx(1))


async def test_energy_of_shared_gpus_says_so(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Scenario(tmp_path, gpu(0, mig=[mig(1)])).use(monkeypatch)
    one = await world()
    job = one.post(GOOD)
    await one.settled([job])
    assert used(one, job).energy_wh == 0 and used(one, job).energy_shared
    Scenario(tmp_path, gpu(0)).use(monkeypatch)
    two = await world(slots_per_gpu=2)
    other = two.post(GOOD)
    await two.settled([other])
    assert used(two, other).energy_shared
    assert used(two, other).energy == "0 Wh, of the whole device, which other runs share"


async def test_peaks_of_memory_are_kept(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of memory that was freed before the first sample."""
    scenario = Scenario(tmp_path, gpu(0))
    scenario.use(monkeypatch)
    one = await world(foreign="ignore")
    job = one.post(ALLOCATES)
    await ready(one, job)
    live = one.scheduler._live()[job]
    scenario.set("GPU-0", processes=[{"pid": live.identity.pid, "memory": 3 * GIB}])
    await until(lambda: used(one, job).peak_gpu_memory_bytes == 3 * GIB)
    scenario.set("GPU-0", processes=[{"pid": live.identity.pid, "memory": GIB}])
    await until(lambda: (used(one, job).peak_rss_bytes or 0) > 150 << 20)
    two = await world(foreign="ignore")
    two.file(job, "go").touch()
    await two.settled([job])
    assert used(two, job).peak_gpu_memory_bytes == 3 * GIB
    assert 150 << 20 < (used(two, job).peak_rss_bytes or 0) < 400 << 20


async def test_a_run_without_a_gpu_has_its_memory(world) -> None:
    one = await world(gpus=False)
    job = one.post(ALLOCATES)
    await ready(one, job)
    await until(lambda: (used(one, job).peak_rss_bytes or 0) > 150 << 20)
    one.file(job, "go").touch()
    await one.settled([job])
    assert used(one, job).energy_wh is None and used(one, job).energy is None


async def test_commands_and_dashboard_show_it(world, capsys: pytest.CaptureFixture[str]) -> None:
    one = await world(gpus=False)
    job = one.job(one.post(GOOD))
    details = [
        JobDetail(job.view(), resources=each)
        for each in (
            None,
            JobResources(1234.56, True, 2_500_000_000, None),
            JobResources(0.25, False, 1, 7_000_000_000),
        )
    ]
    rows = {row.name: row.values for section in compare(details).sections for row in section.rows}
    assert rows["energy in Wh"] == [None, 1234.56, 0.25] and rows["energy of a shared device"] == [None, True, None]
    assert rows["peak memory in GB"] == [None, 2.5, 0.0] and rows["peak GPU memory in GB"] == [None, None, 7.0]
    console = Console(file=io.StringIO(), width=200)
    console.print(job_table(details[1], {}))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "energy 1,234.6 Wh, of the whole device, which other runs share, most memory 2." in shown
    jobs_table.show(Output(), details[2])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert {"energy 0.25 Wh", "peak memory 1 B", "peak GPU memory 7.0 GB"} <= {*lines}
