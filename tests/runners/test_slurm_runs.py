"""Jobs of a real cluster of one node: what they ask for, and what is reported when the cluster ends them."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

from runners.protocol import Claim, Command, OffHostRunner, RunEnd, RunIdentity, RunRequest, StartFailed, place_of
from runners.slurm.runner import Slurm
from taod.config import SlurmConfig, SlurmRule
from taod.watch import FolderWatch
from tests.patience import PATIENCE_S
from tests.runners.conformance.waiting import appears, go, log_of, ready, within
from tests.runners.engines import TOOL, Cluster, eventually


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    shutil.copy(TOOL, folder / "classification_pyt")
    return folder


def slurm(cluster: Cluster, tools: Path, **config: Any) -> Slurm:
    return Slurm(SlurmConfig(**{"conf": str(cluster.conf), "path": [str(tools)], "poll_s": 0.5, **config}))


def run_of(folder: Path, do: str, *, gpus: int = 0, action: str = "train") -> RunRequest:
    job_id = str(uuid.uuid4())
    home = folder / job_id
    (home / "results").mkdir(parents=True)
    argv = ["classification_pyt", action, f"--results_dir={home}/results", f"--do={do}"]
    return RunRequest(job_id, 1, Command("classification_pyt", action, argv, "tlt-pytorch", gpus=gpus), str(home))


async def running(runner: Slurm, request: RunRequest) -> RunIdentity:
    identity = await within(runner.start(request))
    await ready(request)
    return identity


async def said(request: RunRequest, text: str) -> None:
    """Until it is in the log."""
    async with FolderWatch(request.job_folder.path) as watch:
        while text not in log_of(request):
            await watch.changed()


async def test_a_run_gets_the_gpus_and_the_set_up_that_it_asks_for(
    slurm_cluster: Cluster, tools: Path, tmp_path: Path
) -> None:
    request = run_of(tmp_path, "wait", gpus=2)
    runner = slurm(
        slurm_cluster,
        tools,
        setup="SET_UP='is done'\nexport SET_UP",
        prefix=["env", "PREFIXED=1"],
        rule=[SlurmRule(network="classification_*", time="10"), SlurmRule(action="train", cpus=1, time="20")],
    )
    identity = await running(runner, request)
    shown = slurm_cluster.ask("scontrol", "show", "job", "-o", identity.handle or "")
    assert f"JobName=taod-{request.job_id}-1" in shown
    assert "TimeLimit=00:20:00" in shown
    assert "NumCPUs=2" in shown
    assert "Requeue=0" in shown
    assert "gpu:2" in shown
    go(request)
    assert await within(runner.wait(identity, request)) == RunEnd(0)
    environment = dict(line.split("=", 1) for line in log_of(request).splitlines() if "=" in line)
    assert environment["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert environment["NUM_GPU_PER_NODE"] == "2"
    assert (environment["SET_UP"], environment["PREFIXED"]) == ("is done", "1")
    assert f"[taod] job {identity.handle} of the cluster" in log_of(request)
    assert (request.run_folder.path / "job.sh").stat().st_mode & 0o077 == 0


async def test_what_the_cluster_does_not_take_is_reported_in_its_words(
    slurm_cluster: Cluster, tools: Path, tmp_path: Path
) -> None:
    request = run_of(tmp_path, "exit:0")
    with pytest.raises(StartFailed, match=r"the cluster does not accept the run: .*invalid partition"):
        await within(slurm(slurm_cluster, tools, partition="nowhere").start(request))
    assert await within(slurm(slurm_cluster, tools).recover(request)) == (Claim.NEVER, None)


@pytest.mark.slow
async def test_a_job_cancelled_on_the_cluster_is_reported(slurm_cluster: Cluster, tools: Path, tmp_path: Path) -> None:
    runner = slurm(slurm_cluster, tools)
    listening, deaf, waiting = (run_of(tmp_path, do) for do in ("wait", "stubborn", "wait"))
    identities = [await running(runner, listening), await running(runner, deaf)]
    # A third waits behind them all: it is asked to begin tomorrow.
    late = slurm(slurm_cluster, tools, options=["--begin=now+1day"])
    identities.append(await within(late.start(waiting)))
    waits = [
        asyncio.create_task(runner.wait(*each)) for each in zip(identities, (listening, deaf, waiting), strict=True)
    ]
    slurm_cluster.ask("scancel", *(identity.handle or "" for identity in identities))
    ends = await within(asyncio.gather(*waits))
    assert [end.message for end in ends] == ["it was cancelled on the cluster"] * 3
    assert ends[0].exit_code == 143
    assert ends[1].exit_code in (None, 137, 143)


async def test_a_run_that_still_waits_on_the_cluster_can_be_found_and_stopped(
    slurm_cluster: Cluster, tools: Path, tmp_path: Path
) -> None:
    request = run_of(tmp_path, "exit:0")
    first = slurm(slurm_cluster, tools, options=["--begin=now+1day"])
    identity = await within(first.start(request))
    runner = slurm(slurm_cluster, tools)
    assert await within(runner.recover(request)) == (Claim.LIVES, identity)
    waiting = asyncio.create_task(runner.wait(identity, request))
    await within(said(request, "waits on the cluster: BeginTime"))
    await runner.stop(identity, request, force=False)
    assert (await within(waiting)).message == "it was cancelled on the cluster"


@pytest.mark.skipif(not os.environ.get("TAOD_LONG"), reason="a cluster takes a minute to see it; TAOD_LONG=1 waits")
async def test_a_job_over_its_time_limit_is_reported(slurm_cluster: Cluster, tools: Path, tmp_path: Path) -> None:
    request = run_of(tmp_path, "wait")
    runner = slurm(slurm_cluster, tools)
    identity = await running(runner, request)
    slurm_cluster.ask("scontrol", "update", f"JobId={identity.handle}", "TimeLimit=0:01")
    ended = await asyncio.wait_for(runner.wait(identity, request), PATIENCE_S)
    assert ended.message.startswith("it passed its time limit on the cluster")


@pytest.mark.slow
async def test_a_pre_empted_run_is_reported_and_with_requeue_starts_again(
    slurm_cluster: Cluster, tools: Path, tmp_path: Path
) -> None:
    request = run_of(tmp_path, "wait", gpus=2)
    runner = slurm(slurm_cluster, tools)
    identity = await running(runner, request)
    waiting = asyncio.create_task(runner.wait(identity, request))
    urgent = run_of(tmp_path, "wait", gpus=2)
    above = slurm(slurm_cluster, tools, partition="urgent")
    second = await running(above, urgent)
    ended = await within(waiting)
    assert ended.message == "it was pre-empted on the cluster"
    assert "saved" in log_of(request)
    go(urgent)
    assert await within(above.wait(second, urgent)) == RunEnd(0)
    # The same job comes again under its number, and may claim its attempt again.
    again = run_of(tmp_path, "wait")
    requeueing = slurm(slurm_cluster, tools, requeue=True)
    identity = await running(requeueing, again)
    waiting = asyncio.create_task(requeueing.wait(identity, again))
    (again.job_folder.results / "ready").unlink()
    slurm_cluster.ask("scontrol", "requeue", identity.handle or "")
    await within(said(again, "starts again"))

    def begins() -> bool:
        # A requeued job waits for two minutes by default.
        slurm_cluster.ask("scontrol", "update", f"JobId={identity.handle}", "StartTime=now")
        return slurm_cluster.ask("squeue", "-h", "-j", identity.handle or "", "-o", "%T") == "RUNNING"

    await asyncio.to_thread(eventually, begins, "the requeued job")
    await ready(again)
    go(again)
    assert await within(waiting) == RunEnd(0)
    assert log_of(again).count("arguments: ") == 2


@pytest.mark.slow
async def test_the_controller_may_be_away_for_a_while(slurm_cluster: Cluster, tools: Path, tmp_path: Path) -> None:
    runner = slurm(slurm_cluster, tools)
    ending, going_on = run_of(tmp_path, "wait"), run_of(tmp_path, "wait")
    identities = [await running(runner, request) for request in (ending, going_on)]
    waits = [asyncio.create_task(runner.wait(i, r)) for i, r in zip(identities, (ending, going_on), strict=True)]
    slurm_cluster.stop_controller()
    try:
        # The run records its own end.
        go(ending)
        assert await within(waits[0]) == RunEnd(0)
        # A new daemon takes the other for living, though its state is unknown.
        assert (await within(slurm(slurm_cluster, tools).recover(going_on)))[0] is Claim.LIVES
    finally:
        slurm_cluster.start_controller()
    go(going_on)
    assert await within(waits[1]) == RunEnd(0)


@pytest.mark.slow
async def test_one_question_is_asked_for_all_runs(
    slurm_cluster: Cluster, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = tmp_path / "asked"
    shim = tmp_path / "shim"
    shim.mkdir()
    (shim / "squeue").write_text(f'#!/bin/sh\necho asked >>{count}\nexec {shutil.which("squeue")} "$@"\n')
    (shim / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim}:{os.environ['PATH']}")
    runner = slurm(slurm_cluster, tools, poll_s=0.2)
    requests = [run_of(tmp_path, "wait") for _ in range(4)]
    identities = [await running(runner, request) for request in requests]
    waits = [asyncio.create_task(runner.wait(i, r)) for i, r in zip(identities, requests, strict=True)]
    await appears(count)
    count.unlink()
    await appears(count)
    for request in requests:
        go(request)
    await within(asyncio.gather(*waits))
    assert count.read_text().count("asked") <= 4


def test_its_runs_hold_slots_of_their_own() -> None:
    runner = Slurm(SlurmConfig(max_jobs=3, max_gpus=4))
    assert isinstance(runner, OffHostRunner)
    assert place_of(runner) == "cluster:slurm"
    assert (runner.slots, runner.gpus) == (3, 4)


def test_without_the_clients_of_a_cluster_it_can_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    verdict = Slurm().can("dino", "train")
    assert not verdict.can
    assert "sbatch" in verdict.reason
    assert "Slurm client" in verdict.remedy
