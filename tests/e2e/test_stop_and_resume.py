"""Cancel, pause and resume of a real train: the epochs continue."""

from __future__ import annotations

from pathlib import Path

import pytest

from taod.client import AsyncClient
from taod.client.errors import ClientError
from taod.types.job import JobRun
from taod.types.state import State, Status
from tests.e2e.journey import Daemon, at_epoch, ended, halted, small_model, stopping, train, until

pytestmark = [pytest.mark.slow, pytest.mark.engine]


async def test_a_cancelled_train_continues_from_its_last_checkpoint(
    daemon: Daemon, client: AsyncClient, images: Path, tmp_path: Path
) -> None:
    job_id = await train(client, await small_model(client, images, tmp_path, epochs=8, each=8))
    async with halted(daemon, client, job_id, epoch=2):
        await client.jobs.cancel(job_id)
        await stopping(client, job_id)
    stopped = await until(client, job_id, ended)
    assert (stopped.job.state, stopped.job.status) == (State.CANCELLED, Status.ERROR)
    assert stopped.job.result.detailed_status is not None
    assert stopped.job.result.detailed_status.message == "Cancelled by user"
    reached = stopped.job.result.epoch
    assert reached is not None
    assert 2 <= reached < 8

    await client.jobs.resume(job_id)
    done = await until(client, job_id, lambda detail: detail.job.state in (State.DONE, State.FAILED))
    assert done.job.state is State.DONE, done.job.reason
    kpi = next(kpi for kpi in done.job.result.kpi if kpi.metric == "accuracy_top-1")
    assert list(kpi.values) == [str(epoch) for epoch in range(1, 9)], "no epoch is missing, none came twice"
    log = (await client.logs.tail(job_id, 10_000)).data.decode()
    first_run, second_run = log.split("Going on at epoch ")
    assert "epoch 1/8" in first_run
    assert second_run.startswith(f"{reached + 1},")
    assert "epoch 1/8" not in second_run


async def test_pause_keeps_the_job_and_frees_the_device_for_the_next(
    daemon: Daemon, client: AsyncClient, images: Path, tmp_path: Path
) -> None:
    model_id = await small_model(client, images, tmp_path, epochs=8, each=8)
    first, second = await train(client, model_id), await train(client, model_id)
    async with halted(daemon, client, first):
        await client.jobs.pause(first)
        await stopping(client, first)
    paused = await until(client, first, ended)
    assert paused.job.state is State.PAUSED
    assert paused.job.reason.startswith("Paused at epoch ")
    async with halted(daemon, client, second):
        await client.jobs.cancel(second)
        await stopping(client, second)
    await client.jobs.resume(first)
    done = await until(client, first, lambda detail: detail.job.state in (State.DONE, State.FAILED))
    assert (done.job.state, done.job.attempt) == (State.DONE, 2)


async def test_cancelling_a_train_cancels_the_jobs_that_depend_on_it(
    client: AsyncClient, images: Path, tmp_path: Path
) -> None:
    model_id = await small_model(client, images, tmp_path, epochs=1000)
    first, evaluate, export = await client.jobs.run("model", model_id, JobRun(actions=["train", "evaluate", "export"]))
    await until(client, first, at_epoch(1))
    assert (await client.jobs.get(evaluate)).job.state is State.WAITING
    await client.jobs.cancel(first)
    for job_id in (first, evaluate, export):
        detail = await until(client, job_id, ended)
        assert detail.job.state is State.CANCELLED
    assert first[:4] in (await client.jobs.get(evaluate)).job.reason
    with pytest.raises(ClientError) as error:
        await client.jobs.resume(evaluate)
    assert error.value.status == 400
    assert "train" in error.value.description
