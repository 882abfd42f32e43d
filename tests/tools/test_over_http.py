"""NVIDIA's tools of release 7.3 over HTTP: a daemon, an uploaded dataset, a model, its jobs and their KPIs.

Part of `make test-tools`: the environments are those that `test_installed_tools` installs. TAOD_NETWORKS narrows the
networks to a list.
"""

from __future__ import annotations

import asyncio
import os
import tarfile
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from taod.catalogue.network import get_network
from taod.client import AsyncClient
from taod.types.dataset import DatasetCreate
from taod.types.job import JobDetail, JobRun
from taod.types.model import ModelCreate
from taod.types.state import State
from taod.types.tool import Environment
from tests.e2e.journey import Daemon, at_epoch, ended, until
from tests.tools import text_models, tiny_data
from tests.tools.plans import PLANS, Plan
from tests.tools.test_installed_tools import CACHE, HOUR_S, ROOT, data_services, pytorch, tf2

__all__ = ["data_services", "pytorch", "tf2"]
pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(2 * HOUR_S),
    pytest.mark.skipif(not ROOT, reason="TAOD_TOOLS_ROOT names no folder for installed tools (make test-tools)"),
]

COMPLETE = (
    "classification_pyt",
    "pose_classification",
    "action_recognition",
    "re_identification",
    "rtdetr",
    "dino",
    "segformer",
    "optical_inspection",
    "visual_changenet_classify",
)
"""Networks that are paused, resumed and re-adopted as well."""
CHOSEN = set(os.environ.get("TAOD_NETWORKS", " ".join(PLANS)).replace(",", " ").split())
EPOCHS = 3
SIDE_BY_SIDE = ("pose_classification", "rtdetr")
TRIALS = 4


def each(networks: Iterable[str]) -> list[Any]:
    """Parameters of a test: the networks, those that were not chosen marked to be skipped."""
    skipped = pytest.mark.skip(reason="TAOD_NETWORKS does not name it")
    return [pytest.param(name, marks=[] if name in CHOSEN else [skipped]) for name in networks]


@pytest.fixture(scope="module")
async def served(pytorch: Environment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Daemon]:
    """A daemon with two CPU slots that finds the installed tools and no others."""
    folder = tmp_path_factory.mktemp("served")
    tools = Path(pytorch.path).parent
    (folder / "taod.toml").write_text(
        f'[tools]\nfolder = "{tools}"\n[devices]\ngpus = false\ncpu_slots = 2\n'
        f'[runner]\norder = ["native"]\ncache = "{CACHE}"\n[runner.environment]\nHF_HUB_OFFLINE = "1"\n'
    )
    daemon = Daemon(folder / "root").start()
    yield daemon
    if not daemon.running:
        daemon.start()
    assert daemon.stop() == 0


async def job_at(client: AsyncClient, job_id: str, holds: Callable[[JobDetail], bool]) -> JobDetail:
    """A real tool is slow: each job has an hour."""
    return await until(client, job_id, holds, HOUR_S)


async def done(client: AsyncClient, job_id: str) -> JobDetail:
    """The job, which has ended as it should."""
    detail = await job_at(client, job_id, ended)
    assert detail.job.state is State.DONE, f"{detail.job.action}: {detail.job.reason}"
    return detail


def files(detail: JobDetail, pattern: str) -> list[Path]:
    return sorted(Path(detail.folder, "results").rglob(pattern))


def packed(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as made:
        for path in sorted(folder.iterdir()):
            made.add(path, path.name)
    return archive


async def uploaded(client: AsyncClient, name: str, type_: str, format_: str, data: Path) -> str:
    """The id of a new dataset with the files of a folder."""
    archive = packed(data, data.parent / f"{name}-{format_}.tar.gz")
    dataset = (await client.datasets.create(DatasetCreate(type=type_, format=format_, name=name))).id
    await client.datasets.upload(dataset, archive)
    return dataset


async def prepared(client: AsyncClient, network: str, folder: Path, epochs: int, **more: Any) -> str:
    """The id of a model of the network with its data and the specification of its training."""
    plan = PLANS[network]
    plan.write(folder / "data")
    type_, format_ = plan.dataset
    train = await uploaded(client, network, type_, format_, folder / "data")
    others = await uploaded(client, network, type_, plan.evaluated, folder / "data") if plan.evaluated else train
    made = await client.models.create(
        ModelCreate(network_arch=network, train_datasets=[train], eval_dataset=others, inference_dataset=others, **more)
    )
    assert made.release == "7.3"
    await client.specs.save("model", made.id, "train", _spec(plan, epochs))
    return made.id


def _spec(plan: Plan, epochs: int) -> dict[str, Any]:
    spec = plan.spec | {"train": plan.spec.get("train", {}) | {"num_epochs": epochs}}
    if plan.needs == text_models.BERT:
        encoder = str(CACHE / text_models.BERT)
        spec |= {"model": plan.spec["model"] | {"text_encoder_type": encoder}}
    return spec


def expected(network: str) -> set[str]:
    """What its training reports: the metrics of its plan, and the network's own; mask2former's is of another mode."""
    own = get_network(network, "7.3").metric
    return PLANS[network].kpis | ({own} if own and network != "mask2former" else set())


async def all_actions(client: AsyncClient, model: str, train: str, plan: Plan) -> None:
    """The other actions of a network on its training, with what each of them leaves."""
    for action, spec in plan.specs.items():
        await client.specs.save("model", model, action, spec)
    for action, job in zip(
        plan.actions, await client.jobs.run("model", model, JobRun(list(plan.actions), job=train)), strict=True
    ):
        detail = await done(client, job)
        if action == "evaluate":
            assert detail.job.result.kpi
        if action == "export":
            assert files(detail, "*.onnx")
    for chain in plan.later:
        before = train
        for action, spec in chain.items():
            await client.specs.save("model", model, action, spec)
            (before,) = await client.jobs.run("model", model, JobRun([action], job=before))
            detail = await done(client, before)
            assert detail.job.result.kpi if action == "evaluate" else files(detail, "*.pth")


@pytest.mark.parametrize("network", each(COMPLETE))
async def test_a_network_trains_pauses_resumes_and_goes_through_its_actions(
    served: Daemon, network: str, tmp_path: Path
) -> None:
    plan = PLANS[network]
    async with served.client() as client:
        model = await prepared(client, network, tmp_path, EPOCHS)
        (train,) = await client.jobs.run("model", model, JobRun(["train"]))
        running = await job_at(client, train, at_epoch(1))
        assert running.job.state is State.RUNNING, running.job.reason
        await client.jobs.pause(train)
        paused = await job_at(client, train, ended)
        assert paused.job.state is State.PAUSED, paused.job.reason
        assert files(paused, "*epoch*.pth")
        # The daemon ends in the middle of the rest of the training, and the next one adopts it.
        await client.jobs.resume(train)
        await job_at(client, train, lambda detail: ended(detail) or detail.job.state is State.RUNNING)
    served.kill()
    served.start()
    async with served.client() as client:
        trained = await done(client, train)
        assert "nvidia-tao-pytorch 7.3.0" in str(trained.process and trained.process.environment)
        found = {kpi.metric for kpi in trained.job.result.kpi}
        assert expected(network) <= found, found
        assert (trained.job.result.epoch, trained.job.result.max_epoch) == (EPOCHS, EPOCHS)
        await all_actions(client, model, train, plan)


@pytest.mark.parametrize("network", each(name for name in PLANS if name not in COMPLETE))
async def test_a_network_trains_and_goes_through_its_actions(served: Daemon, network: str, tmp_path: Path) -> None:
    plan = PLANS[network]
    async with served.client() as client:
        model = await prepared(client, network, tmp_path, 1)
        (train,) = await client.jobs.run("model", model, JobRun(["train"]))
        trained = await done(client, train)
        found = {kpi.metric for kpi in trained.job.result.kpi}
        assert expected(network) <= found, found
        assert files(trained, "*epoch*.pth")
        await all_actions(client, model, train, plan)


SERVICES = {
    ("annotations", "convert", "kitti"): "*.json",
    ("annotations", "convert", "odvg"): "*.json",
    ("analytics", "validate", "coco"): "*",
    ("analytics", "analyze", "coco"): "*",
    ("augmentation", "generate", "coco"): "*.jpg",
    ("augmentation", "generate", "kitti"): "*.png",
    ("image", "validate", "coco"): "*.jpg",
}
"""(Service, action, format of its dataset) -> files that it leaves."""
WRITERS = {"kitti": tiny_data.kitti, "coco": tiny_data.objects, "odvg": tiny_data.phrases}


@pytest.mark.parametrize(("service", "action", "format_"), SERVICES)
async def test_a_data_service(
    served: Daemon, service: str, action: str, format_: str, data_services: Environment, tmp_path: Path
) -> None:
    WRITERS[format_](tmp_path / "data")
    async with served.client() as client:
        dataset = await uploaded(client, service, "object_detection", format_, tmp_path / "data")
        made = await client.models.create(ModelCreate(network_arch=service, inference_dataset=dataset, release="7.3"))
        (job,) = await client.jobs.run("model", made.id, JobRun([action]))
        detail = await done(client, job)
    assert "nvidia-tao-ds 7.3.0" in str(detail.process and detail.process.environment)
    assert [path for path in files(detail, SERVICES[service, action, format_]) if path.name != "status.json"]


async def test_a_network_of_the_tf2_tools(served: Daemon, tf2: Environment, tmp_path: Path) -> None:
    tiny_data.shapes(tmp_path / "data")
    spec = {
        "model": {"backbone": "efficientnet-b0", "input_width": 64, "input_height": 64},
        "dataset": {"num_classes": 2},
        "train": {"num_epochs": 2, "batch_size_per_gpu": 4, "n_workers": 1},
        "data_format": "channels_last",
    }
    async with served.client() as client:
        data = await uploaded(client, "tf2", "image_classification", "default", tmp_path / "data")
        made = await client.models.create(
            ModelCreate(
                network_arch="classification_tf2",
                train_datasets=[data],
                eval_dataset=data,
                inference_dataset=data,
                release="7.3",
            )
        )
        await client.specs.save("model", made.id, "train", spec)
        (train,) = await client.jobs.run("model", made.id, JobRun(["train"]))
        trained = await done(client, train)
        assert "nvidia-tao-tf2 6.0.0" in str(trained.process and trained.process.environment)
        assert {"val_accuracy", "val_loss"} <= {kpi.metric for kpi in trained.job.result.kpi}
        assert files(trained, "*.tlt")
        (evaluate,) = await client.jobs.run("model", made.id, JobRun(["evaluate"], job=train))
        assert (await done(client, evaluate)).job.result.kpi


async def test_two_networks_train_side_by_side(served: Daemon, tmp_path: Path) -> None:
    async with served.client() as client:
        models = [await prepared(client, name, tmp_path / name, 1) for name in SIDE_BY_SIDE]
        jobs = [(await client.jobs.run("model", model, JobRun(["train"])))[0] for model in models]
        await asyncio.gather(*(job_at(client, job, at_epoch(1)) for job in jobs))
        details = [await done(client, job) for job in jobs]
    assert max(str(detail.job.started_at) for detail in details) < min(str(detail.job.ended_at) for detail in details)


async def test_a_sweep_of_four_trials_finds_a_best_one(served: Daemon, tmp_path: Path) -> None:
    async with served.client() as client:
        more = {"automl_enabled": True, "automl_algorithm": "Bayesian", "automl_max_recommendations": TRIALS}
        model = await prepared(
            client, "pose_classification", tmp_path, 1, automl_add_hyperparameters=["train.optim.lr"], **more
        )
        (job,) = await client.jobs.run("model", model, JobRun(["train"]))
        sweep = await client.sweeps.get(await done(client, job))
    assert [trial.outcome for trial in sweep.trials] == ["done"] * TRIALS
    assert sweep.best_params and "train.optim.lr" in sweep.best_params
    assert len({trial.params["train.optim.lr"] for trial in sweep.trials}) > 1
