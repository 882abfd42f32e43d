"""A model's life over a daemon whose only runner is an engine, or a cluster: everything that a user asks of a job."""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from taod.client import AsyncClient
from taod.client.errors import ClientError
from taod.types.dataset import DatasetCreate
from taod.types.job import JobDetail, JobRun
from taod.types.model import ModelCreate
from taod.types.state import State
from tests.e2e.journey import Daemon, at_epoch, ended, until
from tests.runners.engines import IMAGE, TOOL, Cluster, Dockerd

pytestmark = pytest.mark.slow
TRAIN = JobRun(actions=["train"])


@pytest.fixture(params=["docker", "slurm"])
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Its name; the folder's taod.toml has no other."""
    text = f'[runner]\norder = ["{request.param}"]\n'
    if request.param == "docker":
        engine: Dockerd = request.getfixturevalue("docker_engine")
        text += f'[runner.docker]\nsocket = "{engine.url}"\n[runner.docker.ulimits]\n'
        text += f'[runner.docker.images]\ntlt-pytorch = "{IMAGE}"\n'
    else:
        cluster: Cluster = request.getfixturevalue("slurm_cluster")
        (tmp_path / "tools").mkdir()
        (tmp_path / "tools/classification_pyt").symlink_to(TOOL)
        text += f'[runner.slurm]\nconf = "{cluster.conf}"\nmax_jobs = 2\npoll_s = 1.0\npath = ["{tmp_path}/tools"]\n'
    (tmp_path / "taod.toml").write_text(text)
    return str(request.param)


@pytest.fixture
async def daemon(runner: str, tmp_path: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(tmp_path / "root").start()
    yield daemon
    async with daemon.client() as client:
        for view in (await client.jobs.list()).items:
            if not view.state.ended:
                await client.jobs.cancel(view.id)
                await until(client, view.id, ended)
    assert daemon.stop() == 0


async def model_of(client: AsyncClient, folder: Path) -> str:
    """A model of two uploaded images."""
    for name in ("a", "b"):
        (folder / "images_train" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "images_train" / name / "1.png")
    (folder / "classes.txt").write_text("a\nb\n")
    archive = folder / "two.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder / "classes.txt", "classes.txt")
        packed.add(folder / "images_train", "images_train")
    data = await client.datasets.create(DatasetCreate(type="image_classification", format="classification_pyt"))
    await client.datasets.upload(data.id, archive)
    model = await client.models.create(
        ModelCreate(network_arch="classification_pyt", train_datasets=[data.id], eval_dataset=data.id)
    )
    return model.id


async def train(client: AsyncClient, model_id: str) -> str:
    (job_id,) = await client.jobs.run("model", model_id, TRAIN)
    return job_id


async def in_state(client: AsyncClient, job_id: str, state: State) -> JobDetail:
    detail = await until(client, job_id, lambda detail: detail.job.state is state or detail.job.state.ended)
    assert detail.job.state is state, detail.job.reason
    return detail


async def test_train_pause_resume_cancel_kill_and_download(daemon: Daemon, runner: str, tmp_path: Path) -> None:
    async with daemon.client() as client:
        model_id = await model_of(client, tmp_path)
        job_id = await train(client, model_id)
        detail = await until(client, job_id, at_epoch(1))
        assert (detail.job.runner, detail.job.state) == (runner, State.RUNNING), detail.job.reason
        assert detail.job.devices == (["cpu:0"] if runner == "docker" else ["cluster:slurm"])
        await client.jobs.pause(job_id)
        assert (await in_state(client, job_id, State.PAUSED)).job.reason == "Paused at epoch 1"
        await client.jobs.resume(job_id)
        done = await in_state(client, job_id, State.DONE)
        assert (done.job.attempt, done.job.result.epoch) == (2, 3)
        log = (await client.logs.tail(job_id, 100_000)).data.decode()
        assert "stopped at a checkpoint" in log
        assert "continues from epoch_1.pth" in log

        cancelled = await train(client, model_id)
        await until(client, cancelled, at_epoch(1))
        await client.jobs.cancel(cancelled)
        assert (await in_state(client, cancelled, State.CANCELLED)).job.reason == "Cancelled by user"

        adopted = await train(client, model_id)
        results = Path((await until(client, adopted, at_epoch(1))).folder) / "results"
    daemon.kill()
    daemon.start()
    async with daemon.client() as client:
        assert (await client.jobs.get(adopted)).job.state is State.RUNNING
        (results / "go").touch()
        assert (await in_state(client, adopted, State.DONE)).job.attempt == 1
        archive = tmp_path / "results.tar.gz"
        await client.files.download_all("model", model_id, job_id, archive)
        with tarfile.open(archive) as packed:
            assert f"{job_id}/epoch_3.pth" in packed.getnames()
        # An action that this runner lacks is rejected, and so is an unknown runner.
        for name, words in (
            ("nowhere", "unknown runner"),
            ("native", "the executable 'classification_pyt' was not found"),
        ):
            with pytest.raises(ClientError) as raised:
                await client.jobs.run("model", model_id, JobRun(actions=["train"], runner=name))
            assert raised.value.status == 400
            assert words in raised.value.description
