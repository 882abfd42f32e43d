"""Runs outlive the daemon, and each ends exactly once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from taod.paths import Root
from taod.types.state import State
from tests.e2e.journey import Daemon, at_epoch, ended, engines, halted, small_model, train, until
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.slow, pytest.mark.engine]


async def test_kill_9_during_a_train_neither_loses_nor_repeats_an_epoch(
    daemon: Daemon, images: Path, tmp_path: Path
) -> None:
    async with daemon.client() as client:
        job_id = await train(client, await small_model(client, images, tmp_path, epochs=8, each=8))
        async with halted(daemon, client, job_id) as run:
            daemon.kill()
            assert run.status() == psutil.STATUS_STOPPED, "the run outlives the daemon"
            daemon.start()
            async with daemon.client() as restarted:
                assert (await restarted.jobs.get(job_id)).job.state is State.RUNNING
            assert [process.pid for process in engines(job_id)] == [run.pid]
    async with daemon.client() as client:
        detail = await until(client, job_id, ended)
    assert detail.job.state is State.DONE, detail.job.reason
    assert (detail.job.result.epoch, detail.job.attempt) == (8, 1)
    kpi = next(kpi for kpi in detail.job.result.kpi if kpi.metric == "accuracy_top-1")
    assert list(kpi.values) == [str(epoch) for epoch in range(1, 9)]
    assert [path.name for path in (Root(daemon.root).job(job_id).path / "runs").iterdir()] == ["1"]


async def test_a_run_that_ended_without_a_daemon_is_finalized(daemon: Daemon, images: Path, tmp_path: Path) -> None:
    async with daemon.client() as client:
        job_id = await train(client, await small_model(client, images, tmp_path, epochs=8, each=8))
        async with halted(daemon, client, job_id) as run:
            daemon.kill()
    run.wait(PATIENCE_S)
    daemon.start()
    async with daemon.client() as client:
        detail = await until(client, job_id, ended)
    assert detail.job.state is State.DONE, detail.job.reason
    assert (detail.job.result.epoch, detail.job.attempt) == (8, 1)


async def test_ctrl_c_stops_the_daemon_but_not_its_runs(daemon: Daemon, images: Path, tmp_path: Path) -> None:
    async with daemon.client() as client:
        job_id = await train(client, await small_model(client, images, tmp_path, epochs=8, each=8))
        async with halted(daemon, client, job_id) as run:
            assert daemon.stop() == 0
            assert run.status() == psutil.STATUS_STOPPED
    daemon.start()
    async with daemon.client() as client:
        assert (await until(client, job_id, ended)).job.state is State.DONE


async def test_a_killed_run_fails_with_its_reason_and_the_next_job_starts(
    daemon: Daemon, images: Path, tmp_path: Path
) -> None:
    async with daemon.client() as client:
        model_id = await small_model(client, images, tmp_path, epochs=1000)
        first = await train(client, model_id)
        second = await train(client, model_id)
        await until(client, first, at_epoch(1))
        assert (await client.jobs.get(second)).job.state is State.QUEUED
        (run,) = engines(first)
        os.kill(run.pid, signal.SIGKILL)
        failed = await until(client, first, ended)
        assert failed.job.state is State.FAILED
        assert "137" in failed.job.reason
        await until(client, second, lambda detail: detail.job.state is State.RUNNING)
