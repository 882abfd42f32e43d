"""A detector of the embedded engine over HTTP: train, interrupted and resumed, evaluate, export and inference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taod.catalogue.schema.merge import merge
from taod.client import AsyncClient
from taod.types.dataset import DatasetCreate
from taod.types.job import JobRun
from taod.types.model import ModelCreate
from taod.types.state import State
from tests.e2e import shapes
from tests.e2e.journey import Daemon, at_epoch, ended, until

pytestmark = [pytest.mark.slow, pytest.mark.engine]

SMALL = {
    "augmentation_config": {
        "output_width": shapes.SIDE, "output_height": shapes.SIDE, "zoom_out_max_scale": 1,
        "random_crop_min_scale": 0.6, "brightness": 16, "contrast": 0.2, "saturation": 0.2, "hue": 6,
    },
    "ssd_config": {
        "nlayers": 10, "scales": "[0.18,0.26,0.38,0.5,0.65,0.8,0.95]", "aspect_ratios_global": "[1.0,2.0,0.5]",
    },
    "training_config": {
        "batch_size_per_gpu": 8, "num_epochs": 6, "checkpoint_interval": 1,
        "learning_rate": {
            "soft_start_annealing_schedule": {
                "min_learning_rate": 1e-4, "max_learning_rate": 0.02, "soft_start": 0.1, "annealing": 0.5,
            }
        },
        "regularizer": {"type": "__NO_REG__", "weight": 3e-11},
    },
    "eval_config": {"validation_period_during_training": 6},
}  # fmt: skip
REACHED = 0.15
"""Mean average precision; random boxes reach less than 0.02. Twelve epochs reach 0.5."""


async def _dataset(client: AsyncClient, folder: Path, *, images_only: bool = False) -> str:
    created = await client.datasets.create(
        DatasetCreate(type="object_detection", format="raw" if images_only else "kitti", name=folder.name)
    )
    await client.datasets.upload(created.id, shapes.pack(folder, coco=False, images_only=images_only))
    return created.id


async def test_ssd_learns_survives_an_interruption_and_is_exported(
    daemon: Daemon, client: AsyncClient, tmp_path: Path
) -> None:
    train = await _dataset(client, shapes.write(tmp_path / "train", 120, 1))
    held_out = await _dataset(client, shapes.write(tmp_path / "val", 30, 2))
    unseen = await _dataset(client, shapes.write(tmp_path / "unseen", 4, 3), images_only=True)
    model = await client.models.create(
        ModelCreate(
            network_arch="ssd", name="shapes", train_datasets=[train], eval_dataset=held_out, inference_dataset=unseen
        )
    )
    default = (await client.specs.schema("model", model.id, "train"))["default"]
    spec = merge(default, SMALL)
    mapping = [{"key": name, "value": name} for name in shapes.CLASSES]
    spec["dataset_config"]["target_class_mapping"] = mapping
    await client.specs.save("model", model.id, "train", spec)

    (training,) = await client.jobs.run("model", model.id, JobRun(actions=["train"]))
    await until(client, training, at_epoch(1))
    await client.jobs.pause(training)
    assert (await until(client, training, ended)).job.state is State.PAUSED
    await client.jobs.resume(training)
    done = await until(client, training, lambda detail: detail.job.state in (State.DONE, State.FAILED))
    log = (await client.logs.tail(training, 10_000)).data.decode()
    assert done.job.state is State.DONE, log
    assert "Going on at epoch" in log
    kpi = {one.metric: one for one in done.job.result.kpi}
    reached = float(list(kpi["mean average precision"].values.values())[-1])
    assert reached > REACHED

    jobs = await client.jobs.run("model", model.id, JobRun(job=training, actions=["evaluate", "inference", "export"]))
    for job in jobs:
        detail = await until(client, job, ended)
        assert detail.job.state is State.DONE, (await client.logs.tail(job, 10_000)).data.decode()
    results = [daemon.root / "jobs" / job / "results" for job in jobs]
    assert json.loads((results[0] / "metrics.json").read_text())["mean average precision"] == pytest.approx(
        reached, abs=1e-6
    )
    assert len(list((results[1] / "images_annotated").glob("*.png"))) == 4
    assert len(list((results[1] / "labels").glob("*.txt"))) == 4
    assert (results[2] / "model.onnx").is_file()
