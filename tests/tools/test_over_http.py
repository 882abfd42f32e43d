"""NVIDIA's PyTorch networks of release 7.3 over HTTP: a daemon, an uploaded dataset, a model, its jobs and their KPIs.

Part of `make test-tools`: the environment is the one that `test_installed_tools` installs. The networks are those that
train on a CPU in a minute or two from random weights; the others are left to docs/tools.md.
"""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pytest
from PIL import Image, ImageDraw

from taod.client import AsyncClient
from taod.types.dataset import DatasetCreate
from taod.types.job import JobDetail, JobRun
from taod.types.model import ModelCreate
from taod.types.state import State
from taod.types.tool import Environment
from tests.e2e.journey import Daemon, at_epoch, ended, until
from tests.tools.test_installed_tools import HOUR_S, ROOT, pytorch

__all__ = ["pytorch"]
pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(2 * HOUR_S),
    pytest.mark.skipif(not ROOT, reason="TAOD_TOOLS_ROOT names no folder for installed tools (make test-tools)"),
]


class Plan(msgspec.Struct, frozen=True):
    """How a network is trained on tiny data."""

    dataset: tuple[str, str]
    """Type and format."""
    write: Callable[[Path], None]
    spec: dict[str, Any]
    actions: list[str]
    kpis: set[str]
    """Reported by its training."""


def shapes(folder: Path) -> None:
    """Two classes: filled circles and squares."""
    for split, count in (("train", 6), ("val", 3), ("test", 3)):
        for number in range(count):
            for name in ("circle", "square"):
                place = folder / f"images_{split}" / name
                place.mkdir(parents=True, exist_ok=True)
                image = Image.new("RGB", (64, 64), "white")
                draw = ImageDraw.Draw(image)
                box = (8 + number, 8, 40 + number, 40)
                draw.ellipse(box, "black") if name == "circle" else draw.rectangle(box, "black")
                image.save(place / f"{number}.png")
    (folder / "classes.txt").write_text("circle\nsquare\n")


def skeletons(folder: Path) -> None:
    """Six motions of 34 joints, as NVIDIA's own layout has them."""
    made = numpy.random.default_rng(0)
    (folder / "nvidia").mkdir(parents=True)
    for split, count in (("train", 24), ("val", 12), ("test", 6)):
        labels = [number % 6 for number in range(count)]
        data = made.normal(0, 0.05, (count, 3, 60, 34, 1)).astype("float32")
        for number, label in enumerate(labels):
            wave = numpy.sin(numpy.linspace(0, (label + 1) * 3, 60)) * (label + 1) / 6
            data[number, :, :, :, 0] += wave[None, :, None]
        numpy.save(folder / f"nvidia/{split}_data.npy", data)
        names = [f"s{number}" for number in range(count)]
        (folder / f"nvidia/{split}_label.pkl").write_bytes(pickle.dumps((names, labels)))


PLANS = {
    "classification_pyt": Plan(
        ("image_classification", "classification_pyt"),
        shapes,
        {
            "model": {"backbone": {"type": "resnet_18"}, "head": {"in_channels": 512}},
            "dataset": {"num_classes": 2, "img_size": 64, "batch_size": 4, "workers": 1},
            "train": {"num_epochs": 3},
        },
        ["evaluate", "inference", "export"],
        {"val_loss", "val_acc_1"},
    ),
    "pose_classification": Plan(
        ("pose_classification", "default"),
        skeletons,
        {
            "dataset": {
                "num_classes": 6,
                "label_map": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5},
                "batch_size": 8,
            },
            "train": {"num_epochs": 3},
        },
        ["evaluate", "inference", "export"],
        {"train_loss", "train_acc"},
    ),
}


@pytest.fixture(scope="module")
async def served(pytorch: Environment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Daemon]:
    """A daemon that finds the installed tools and no others."""
    folder = tmp_path_factory.mktemp("served")
    tools = Path(pytorch.path).parent
    (folder / "taod.toml").write_text(
        f'[tools]\nfolder = "{tools}"\n[devices]\ngpus = false\n[runner]\norder = ["native"]\n'
    )
    daemon = Daemon(folder / "root").start()
    yield daemon
    if not daemon.running:
        daemon.start()
    assert daemon.stop() == 0


async def job_at(client: AsyncClient, job_id: str, holds: Callable[[JobDetail], bool]) -> JobDetail:
    """A real tool is slow: each job has an hour."""
    return await until(client, job_id, holds, HOUR_S)


def files(detail: JobDetail, pattern: str) -> list[Path]:
    return sorted(Path(detail.folder, "results").rglob(pattern))


@pytest.mark.parametrize("network", PLANS)
async def test_a_network_trains_pauses_resumes_and_goes_through_its_actions(
    served: Daemon, network: str, tmp_path: Path
) -> None:
    plan = PLANS[network]
    plan.write(tmp_path / "data")
    archive = tmp_path / "data.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        for path in sorted((tmp_path / "data").iterdir()):
            packed.add(path, path.name)
    async with served.client() as client:
        type_, format_ = plan.dataset
        dataset = (await client.datasets.create(DatasetCreate(type=type_, format=format_, name=network))).id
        await client.datasets.upload(dataset, archive)
        made = await client.models.create(
            ModelCreate(network_arch=network, train_datasets=[dataset], eval_dataset=dataset, inference_dataset=dataset)
        )
        assert made.release == "7.3"
        await client.specs.save("model", made.id, "train", plan.spec)
        (train,) = await client.jobs.run("model", made.id, JobRun(["train"]))
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
        done = await job_at(client, train, ended)
        assert done.job.state is State.DONE, done.job.reason
        assert "nvidia-tao-pytorch 7.3.0" in str(done.process and done.process.environment)
        found = {kpi.metric for kpi in done.job.result.kpi}
        assert plan.kpis <= found, found
        assert (done.job.result.epoch, done.job.result.max_epoch) == (3, 3)
        after = await client.jobs.run("model", made.id, JobRun(plan.actions, job=train))
        for job in after:
            detail = await job_at(client, job, ended)
            assert detail.job.state is State.DONE, f"{detail.job.action}: {detail.job.reason}"
        evaluated = await client.jobs.get(after[0])
        assert evaluated.job.result.kpi
        exported = await client.jobs.get(after[-1])
        assert files(exported, "*.onnx")
