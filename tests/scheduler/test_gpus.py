"""GPUs with foreign processes, MIG instances, too little memory, and ones that are lost and come back."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nvml_scenario import GIB, Scenario, fake, gpu, mig
from sched_world import GOOD, LONG, World, end_all

from runners.environment import of_run
from runners.protocol import Command, RunRequest
from store.records import LeaseRecord
from taod.config import DevicesConfig, SupervisionConfig
from taod.scheduler.devices import inventory as devices_module
from taod.scheduler.devices.inventory import DevicePool
from taod.types.reason_text import text
from taod.types.state import State
from tests.patience import PATIENCE_S

FAST = 0.02


@asynccontextmanager
async def world_of(tmp_path: Path, **devices: Any) -> AsyncIterator[World]:
    world = World(
        tmp_path / "root",
        in_memory=True,
        grace_s=0.3,
        devices=DevicesConfig(telemetry_s=FAST, **devices),
        supervision=devices.pop("supervision", None),
    )
    await world.scheduler.start()
    try:
        yield world
    finally:
        await end_all(world)


@pytest.fixture
def foreign() -> Any:
    """A process that taod did not start."""
    with subprocess.Popen(["sleep", "60"]) as process:
        # A fork has its parent's name until a moment after the pipe by which Popen waits for it was closed.
        deadline = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\n":
            assert time.monotonic() < deadline
            time.sleep(0.001)
        yield process
        process.kill()


async def test_the_fake_has_the_calls_of_the_real_library(tmp_path: Path) -> None:
    import pynvml

    real, imitation = pynvml, fake()
    for name, function in inspect.getmembers(imitation, inspect.isfunction):
        if name.startswith("nvml"):
            wanted = [*inspect.signature(getattr(real, name)).parameters]
            assert len(wanted) >= len(inspect.signature(function).parameters), name
    for name, kind in inspect.getmembers(imitation, inspect.isclass):
        if name.startswith("NVMLError"):
            assert issubclass(kind, Exception) and issubclass(getattr(real, name), real.NVMLError)


def test_mig_instances_replace_their_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Scenario(tmp_path, gpu(0, mig=[mig(1), mig(2, processes=[{"pid": 1, "memory": 5}])]), gpu(1)).use(monkeypatch)
    pool = DevicePool.detect(DevicesConfig(foreign="ignore"))
    pool.read()
    assert [(one.id, one.index, one.memory_total_bytes) for one in pool.devices] == [
        ("MIG-1", 0, 10 * GIB),
        ("MIG-2", 0, 10 * GIB),
        ("GPU-1", 1, 80 * GIB),
    ]
    instance = pool.devices[1]
    assert (instance.temperature_c, instance.power_w, instance.utilisation_percent) == (40.0, 90.5, None)
    assert instance.processes == [1] and pool.gpu_memory([1]) == 5 and pool.gpu_memory([2]) is None
    for excluded in ("0", "GPU-0"):
        left = DevicePool.detect(DevicesConfig(exclude=[excluded]))
        assert [one.id for one in left.devices] == ["GPU-1"]
    assert [one.id for one in DevicePool.detect(DevicesConfig(exclude=["MIG-2"])).devices] == ["MIG-1", "GPU-1"]
    request = RunRequest("j", 1, Command("n", "a", [], ""), "/", pool.grants(["MIG-2"]))
    environment = of_run(request, {}, threads=1)
    assert environment["CUDA_VISIBLE_DEVICES"] == environment["NVIDIA_VISIBLE_DEVICES"] == "MIG-2"


def test_a_gpu_or_instance_that_appears_later_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario(tmp_path, gpu(0), gpu(1))
    scenario.use(monkeypatch)
    pool = DevicePool.detect(DevicesConfig())
    scenario.set("GPU-0", mig=[mig(1)])
    pool.read()
    assert [(one.id, one.busy_reason is None) for one in pool.devices] == [
        ("GPU-0", False),
        ("MIG-1", True),
        ("GPU-1", True),
    ]


def test_a_foreign_process_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: Any) -> None:
    Scenario(tmp_path, gpu(0, processes=[{"pid": foreign.pid}])).use(monkeypatch)
    pool = DevicePool.detect(DevicesConfig())
    pool.read()
    (device,) = pool.snapshot([], [])
    assert device.busy_reason is not None
    assert text(device.busy_reason) == f"in use by pid {foreign.pid} (sleep), not taod's"
    (device,) = DevicePool.detect(DevicesConfig(foreign="ignore")).snapshot([], [])
    assert device.busy_reason is None
    foreign.kill()
    foreign.wait()
    (device,) = pool.snapshot([], [])
    assert device.busy_reason is None, "what was seen and is gone makes nothing busy"


def test_a_process_of_a_run_is_not_foreign_while_the_run_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["sleep", "60"], env={"TAOD_RUN": "job-7/1", "PATH": os.environ["PATH"]}) as child:
        Scenario(tmp_path, gpu(0, processes=[{"pid": child.pid}])).use(monkeypatch)
        pool = DevicePool.detect(DevicesConfig())
        pool.read()
        lease = LeaseRecord("GPU-0", 0, "job-7", "")
        assert pool.snapshot([lease], [])[0].busy_reason is None
        assert pool.unfit("job-7", [lease]) is None
        assert pool.snapshot([], [])[0].busy_reason is not None
        assert pool.unfit("job-8", [LeaseRecord("GPU-0", 0, "job-8", "")]) is not None
        child.kill()


def test_too_little_free_memory_makes_a_gpu_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Scenario(tmp_path, gpu(0, memory_used=70 * GIB)).use(monkeypatch)
    pool = DevicePool.detect(DevicesConfig(min_free_memory=20 * GIB))
    pool.read()
    reason = pool.snapshot([], [])[0].busy_reason
    assert reason is not None
    assert text(reason) == "short of memory: 10.0 GiB free of 80.0, devices.min_free_memory asks for 20.0"
    pool = DevicePool.detect(DevicesConfig(min_free_memory=10 * GIB))
    pool.read()
    assert pool.snapshot([], [])[0].busy_reason is None


async def test_a_hanging_driver_delays_a_start_but_does_not_prevent_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scenario(tmp_path, gpu(0)).use(monkeypatch)
    monkeypatch.setattr(devices_module, "PATIENCE_S", 0.05)
    async with world_of(tmp_path) as world:
        world.pool._reading.acquire()  # like a reading that never returns
        with pytest.raises(TimeoutError, match="has not answered"):
            await asyncio.to_thread(world.pool.read)
        assert (await world.until(world.post(GOOD), State.DONE)).devices == ["GPU-0"]
        world.pool._reading.release()


async def test_a_run_waits_while_a_foreign_process_is_on_its_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: Any
) -> None:
    scenario = Scenario(tmp_path, gpu(0, processes=[{"pid": foreign.pid}]))
    scenario.use(monkeypatch)
    async with world_of(tmp_path) as world:
        job_id = world.post(GOOD)
        # The driver sends no event for the process: it is found directly before the run starts.
        await world.until(job_id, State.LEASED)
        job = await world.until(job_id, State.QUEUED)
        assert (
            job.reason_text
            == f"waits for a device: GPU 0 (Test GPU 0) is in use by pid {foreign.pid} (sleep), not taod's"
        )
        scenario.set("GPU-0", processes=[])
        job = await world.until(job_id, State.DONE)
        assert (job.attempt, job.devices) == (1, ["GPU-0"])
        assert "on [GPU-0]" in world.log(job_id)


async def test_a_lost_gpu_fails_only_its_own_run_and_is_used_again_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = Scenario(tmp_path, gpu(0), gpu(1))
    scenario.use(monkeypatch)
    async with world_of(tmp_path) as world:
        first, second = world.post(LONG), world.post(LONG)
        for job_id in (first, second):
            await world.until_epoch(job_id)
        scenario.set("GPU-0", lost=True)
        job = await world.until(first, State.FAILED)
        assert job.reason_text.startswith("GPU 0 (Test GPU 0) was lost (GPU-0): its driver no longer answers for it")
        assert world.job(second).state is State.RUNNING
        third = world.post(GOOD)
        world.file(second, "go").touch()
        assert (await world.until(second, State.DONE)).devices == ["GPU-1"]
        assert (await world.until(third, State.DONE)).devices == ["GPU-1"]
        scenario.set("GPU-0", lost=False)
        fourth, fifth = world.post(LONG), world.post(LONG)
        for job_id in (fourth, fifth):
            await world.until_epoch(job_id)
        assert {*world.job(fourth).devices, *world.job(fifth).devices} == {"GPU-0", "GPU-1"}
        for job_id in (fourth, fifth):
            world.file(job_id, "go").touch()
            await world.until(job_id, State.DONE)


async def test_a_run_that_fails_with_its_lost_gpu_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario(tmp_path, gpu(0))
    scenario.use(monkeypatch)
    async with world_of(tmp_path) as world:
        world.pool.telemetry_s = 60
        job_id = world.post(LONG + "; exit 1")
        await world.until_epoch(job_id)
        scenario.set("GPU-0", lost=True)
        world.file(job_id, "go").touch()
        job = await world.until(job_id, State.FAILED)
        assert job.reason_text.splitlines()[0] == (
            "GPU 0 (Test GPU 0) was lost (GPU-0): its driver no longer answers for it"
        )


async def test_a_lost_gpu_may_cause_a_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario(tmp_path, gpu(0), gpu(1))
    scenario.use(monkeypatch)
    again = SupervisionConfig(retries=1, retry_exits=["lost"], backoff_s=0.05)
    world = World(
        tmp_path / "root",
        in_memory=True,
        grace_s=0.3,
        devices=DevicesConfig(telemetry_s=FAST),
        supervision=again,
    )
    await world.scheduler.start()
    job_id = world.post(LONG)
    await world.until_epoch(job_id)
    scenario.set("GPU-0", lost=True)
    await world.until(job_id, State.HELD)
    world.file(job_id, "go").touch()
    job = await world.until(job_id, State.DONE)
    assert (job.devices, job.attempt) == (["GPU-1"], 2)
    await end_all(world)


async def test_a_real_daemon_sees_the_scenario(tmp_path: Path, foreign: Any) -> None:
    scenario = Scenario(tmp_path, gpu(0, processes=[{"pid": foreign.pid, "memory": GIB}]), gpu(1, mig=[mig(3)]))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "taod",
        "doctor",
        "--json",
        "--root",
        str(tmp_path / "root"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **scenario.environment()},
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    text = out.decode()
    assert f"pid {foreign.pid} (sleep)" in text and "MIG 1g.10gb" in text and "999.1" in text


async def test_a_foreign_process_that_ends_before_the_next_reading_blocks_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: Any
) -> None:
    scenario = Scenario(tmp_path, gpu(0))
    scenario.use(monkeypatch)
    async with world_of(tmp_path) as world:
        await world.until(world.post(GOOD), State.DONE)
        read, unfit, asked = world.pool.read_async, world.pool.unfit, 0

        async def meet_once() -> None:
            """The foreign process exists when the GPU is read directly before the first start."""
            nonlocal asked
            asked += 1
            scenario.set("GPU-0", processes=[{"pid": foreign.pid}] if asked == 1 else [])
            await read()

        def then_gone(*question: Any) -> Any:
            # Not before the answer: a reading of the telemetry could come between the two.
            answer = unfit(*question)
            scenario.set("GPU-0", processes=[])
            return answer

        monkeypatch.setattr(world.pool, "read_async", meet_once)
        monkeypatch.setattr(world.pool, "unfit", then_gone)
        job_id = world.post(GOOD)
        await world.until(job_id, State.DONE)
        assert world.states(job_id)[:4] == [State.QUEUED, State.LEASED, State.QUEUED, State.LEASED]
