"""NVIDIA's PyTorch networks of release 7.3 over HTTP: a daemon, an uploaded dataset, a model, its jobs and their KPIs.

Part of `make test-tools`: the environment is the one that `test_installed_tools` installs. The networks are those that
train on a CPU in a minute or two from random weights; the others are left to docs/tools.md.
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taod.client import AsyncClient
from taod.types.dataset import DatasetCreate
from taod.types.job import JobDetail, JobRun
from taod.types.model import ModelCreate
from taod.types.state import State
from taod.types.tool import Environment
from tests.e2e.journey import Daemon, at_epoch, ended, until
from tests.tools import tiny_data
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
    """Of its training, without the epochs."""
    kpis: set[str]
    """Reported by its training."""


_SMALL_CROPS = {
    "scales": [96],
    "train_random_resize": [96],
    "train_random_crop_min": 48,
    "train_random_crop_max": 64,
    "random_resize_max_size": 128,
    "test_random_resize": 96,
}
_LIGHTS = {
    "image_ext": ".jpg",
    "image_width": 64,
    "image_height": 64,
    "num_input": 2,
    "input_map": {light: number for number, light in enumerate(tiny_data.LIGHTS)},
    "concat_type": "linear",
    "batch_size": 4,
    "workers": 1,
}
PLANS = {
    "classification_pyt": Plan(
        ("image_classification", "classification_pyt"),
        tiny_data.shapes,
        {
            "model": {"backbone": {"type": "resnet_18"}, "head": {"in_channels": 512}},
            "dataset": {"num_classes": 2, "img_size": 64, "batch_size": 4, "workers": 1},
        },
        {"val_loss", "val_acc_1"},
    ),
    "pose_classification": Plan(
        ("pose_classification", "default"),
        tiny_data.skeletons,
        {"dataset": {"num_classes": 6, "label_map": {name: at for at, name in enumerate("abcdef")}, "batch_size": 8}},
        {"train_loss", "train_acc"},
    ),
    "action_recognition": Plan(
        ("action_recognition", "default"),
        tiny_data.videos,
        {
            "model": {"input_width": 64, "input_height": 64, "rgb_seq_length": 3},
            "dataset": {
                "label_map": {"run": 0, "walk": 1},
                "augmentation_config": {"train_crop_type": "no_crop"},
                "batch_size": 4,
                "workers": 1,
            },
        },
        {"val_loss", "val_acc"},
    ),
    "re_identification": Plan(
        ("re_identification", "default"),
        tiny_data.persons,
        {
            "model": {"backbone": "resnet_50", "pretrain_choice": "", "input_width": 64, "input_height": 128},
            "dataset": {"num_classes": 8, "num_workers": 1, "batch_size": 8, "val_batch_size": 4},
        },
        {"cmc_rank_1", "mAP"},
    ),
    "rtdetr": Plan(
        ("object_detection", "coco"),
        tiny_data.objects,
        {
            "model": {
                "backbone": "resnet_18",
                "hidden_dim": 64,
                "feat_channels": [64, 64, 64],
                "dim_feedforward": 64,
                "dec_layers": 2,
                "num_queries": 30,
                "num_select": 20,
                "dn_number": 4,
                "train_backbone": True,
            },
            "dataset": {
                "num_classes": 3,
                "dataset_type": "default",
                "augmentation": {
                    "train_spatial_size": [128, 128],
                    "eval_spatial_size": [128, 128],
                    "multi_scales": [128],
                },
                "batch_size": 2,
                "workers": 1,
            },
        },
        {"val_mAP", "val_mAP50"},
    ),
    "dino": Plan(
        ("object_detection", "coco"),
        tiny_data.objects,
        {
            "model": {
                "backbone": "resnet_50",
                "num_feature_levels": 2,
                "return_interm_indices": [1, 2],
                "enc_layers": 1,
                "dec_layers": 1,
                "dim_feedforward": 64,
                "num_queries": 30,
                "num_select": 20,
                "dn_number": 2,
            },
            "dataset": {
                "num_classes": 3,
                "dataset_type": "default",
                "augmentation": _SMALL_CROPS,
                "batch_size": 2,
                "workers": 1,
            },
        },
        {"val_mAP", "val_mAP50"},
    ),
    "segformer": Plan(
        ("semantic_segmentation", "unet"),
        tiny_data.masks,
        {
            "model": {"backbone": {"type": "fan_tiny_8_p4_hybrid"}},
            "dataset": {"segment": {"num_classes": 2, "img_size": 64, "batch_size": 2, "workers": 1}},
        },
        {"val_loss", "val_miou"},
    ),
    "optical_inspection": Plan(
        ("optical_inspection", "default"),
        tiny_data.boards,
        {"dataset": _LIGHTS, "train": {"loss": "contrastive"}},
        {"val_loss", "val_acc"},
    ),
    "visual_changenet_classify": Plan(
        ("optical_inspection", "default"),
        tiny_data.boards,
        {
            "model": {
                "backbone": {"type": "fan_tiny_8_p4_hybrid"},
                "decode_head": {"feature_strides": [4, 8, 16, 16]},
            },
            "dataset": {"classify": _LIGHTS},
        },
        {"val_loss", "val_acc"},
    ),
}
ACTIONS = ["evaluate", "inference", "export"]
EPOCHS = 3


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
        train_group = plan.spec.get("train", {}) | {"num_epochs": EPOCHS}
        await client.specs.save("model", made.id, "train", plan.spec | {"train": train_group})
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
        assert (done.job.result.epoch, done.job.result.max_epoch) == (EPOCHS, EPOCHS)
        after = await client.jobs.run("model", made.id, JobRun(ACTIONS, job=train))
        for job in after:
            detail = await job_at(client, job, ended)
            assert detail.job.state is State.DONE, f"{detail.job.action}: {detail.job.reason}"
        evaluated = await client.jobs.get(after[0])
        assert evaluated.job.result.kpi
        exported = await client.jobs.get(after[-1])
        assert files(exported, "*.onnx")
