"""Runs outlive the daemon, and end once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from taod.paths import Root
from taod.types.state import State
from tests.e2e.journey import Daemon, at_epoch, ended, small_model, train, until

pytestmark = [pytest.mark.slow, pytest.mark.engine]


def engines(job_id: str) -> list[psutil.Process]:
    """The tools of a job's runs, by the mark in their environment; their shell wrappers left out."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get("TAOD_JOB_ID") == job_id
            if marked and process.cmdline()[1:3] == ["-m", "runners.engine"]:
                found.append(process)
        except psutil.Error:
            continue
    return found


async def test_kill_9_in_mid_train_loses_nothing_and_doubles_nothing(
    daemon: Daemon, images: Path, tmp_path: Path
) -> None:
    async with daemon.client() as client:
        job_id = await train(client, await small_model(client, images, tmp_path, epochs=6))
        await until(client, job_id, at_epoch(1))
        (run,) = engines(job_id)
        daemon.kill()
    assert run.is_running(), "the run outlives the daemon"
    daemon.start()
    async with daemon.client() as client:
        adopted = await client.job(job_id)
        assert adopted.job.state is State.RUNNING
        assert [process.pid for process in engines(job_id)] == [run.pid]
        detail = await until(client, job_id, ended)
    assert detail.job.state is State.DONE, detail.job.reason
    assert (detail.job.result.epoch, detail.job.attempt) == (6, 1)
    kpi = next(kpi for kpi in detail.job.result.kpi if kpi.metric == "accuracy_top-1")
    assert list(kpi.values) == [str(epoch) for epoch in range(1, 7)]
    assert [path.name for path in (Root(daemon.root).job(job_id).path / "runs").iterdir()] == ["1"]


async def test_a_run_that_ended_while_no_daemon_was_there_is_settled(
    daemon: Daemon, images: Path, tmp_path: Path
) -> None:
    async with daemon.client() as client:
        job_id = await train(client, await small_model(client, images, tmp_path, epochs=3))
        await until(client, job_id, at_epoch(1))
        (run,) = engines(job_id)
        daemon.kill()
    run.wait(100)
    daemon.start()
    async with daemon.client() as client:
        detail = await until(client, job_id, ended)
    assert detail.job.state is State.DONE, detail.job.reason
    assert (detail.job.result.epoch, detail.job.attempt) == (3, 1)


async def test_ctrl_c_stops_the_server_not_the_runs(daemon: Daemon, images: Path, tmp_path: Path) -> None:
    async with daemon.client() as client:
        job_id = await train(client, await small_model(client, images, tmp_path, epochs=4))
        await until(client, job_id, at_epoch(1))
        (run,) = engines(job_id)
        assert daemon.stop() == 0
    assert run.is_running()
    daemon.start()
    async with daemon.client() as client:
        assert (await until(client, job_id, ended)).job.state is State.DONE


async def test_a_killed_run_fails_with_its_reason_and_the_queue_goes_on(
    daemon: Daemon, images: Path, tmp_path: Path
) -> None:
    async with daemon.client() as client:
        model_id = await small_model(client, images, tmp_path, epochs=40)
        first = await train(client, model_id)
        second = await train(client, model_id)
        await until(client, first, at_epoch(1))
        assert (await client.job(second)).job.state is State.QUEUED
        (run,) = engines(first)
        os.kill(run.pid, signal.SIGKILL)
        failed = await until(client, first, ended)
        assert failed.job.state is State.FAILED
        assert "137" in failed.job.reason
        await until(client, second, lambda detail: detail.job.state is State.RUNNING)
