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
from tests.e2e.journey import Daemon, ended, halted, stopping, until
from tests.engine import detectors

pytestmark = [pytest.mark.slow, pytest.mark.engine]

UNSEEN = 16
EPOCHS, IMAGES, LEAST = (6, 80, 0.1) if detectors.EVERY else (4, 32, 0.05)
"""`LEAST` is of mean average precision; random boxes reach less than 0.02."""
INT8 = 0.1
"""The mean average precision on 20 images that a quantized model may lose."""


async def _dataset(client: AsyncClient, folder: Path, *, images_only: bool = False) -> str:
    created = await client.datasets.create(
        DatasetCreate(type="object_detection", format="raw" if images_only else "kitti", name=folder.name)
    )
    await client.datasets.upload(created.id, shapes.pack(folder, coco=False, images_only=images_only))
    return created.id


async def paused(daemon: Daemon, client: AsyncClient, job_id: str) -> None:
    """Pause a training between its first epoch and its end."""
    async with halted(daemon, client, job_id):
        await client.jobs.pause(job_id)
        await stopping(client, job_id)
    assert (await until(client, job_id, ended)).job.state is State.PAUSED


@pytest.mark.parametrize("network", detectors.CHOSEN)
async def test_a_detector_learns_survives_an_interruption_and_is_deployed(
    daemon: Daemon, client: AsyncClient, tmp_path: Path, network: str
) -> None:
    train = await _dataset(client, shapes.write(tmp_path / "train", IMAGES, 1))
    held_out = await _dataset(client, shapes.write(tmp_path / "val", IMAGES // 4, 2))
    unseen = await _dataset(client, shapes.write(tmp_path / "unseen", UNSEEN, 3), images_only=True)
    model = await client.models.create(
        ModelCreate(
            network_arch=network,
            name="shapes",
            train_datasets=[train],
            eval_dataset=held_out,
            inference_dataset=unseen,
            calibration_dataset=unseen,
        )
    )
    epochs = detectors.EPOCHS.get(network, EPOCHS) if detectors.EVERY else EPOCHS
    default = (await client.specs.schema("model", model.id, "train"))["default"]
    await client.specs.save("model", model.id, "train", merge(default, detectors.changes(network, epochs)))

    (training,) = await client.jobs.run("model", model.id, JobRun(actions=["train"]))
    await paused(daemon, client, training)
    await client.jobs.resume(training)
    done = await until(client, training, lambda detail: detail.job.state in (State.DONE, State.FAILED))
    log = (await client.logs.tail(training, 10_000)).data.decode()
    assert done.job.state is State.DONE, log
    assert "Going on at epoch" in log
    kpi = {one.metric: one for one in done.job.result.kpi}
    reached = float(list(kpi["mean average precision"].values.values())[-1])
    print(network, reached)
    assert reached > LEAST

    # Each action is a process that imports torch: the others are run in-process in CI (tests/engine/test_detectors.py).
    actions = ["evaluate", "export", *(["inference"] if detectors.EVERY else [])]
    await client.specs.save("model", model.id, "export", {"data_type": "int8", "batch_size": 4, "batches": 4})
    jobs = await client.jobs.run("model", model.id, JobRun(job=training, actions=actions))
    for job in jobs:
        detail = await until(client, job, ended)
        assert detail.job.state is State.DONE, (await client.logs.tail(job, 10_000)).data.decode()
    results = [daemon.root / "jobs" / job / "results" for job in jobs]
    scored = json.loads((results[0] / "metrics.json").read_text())
    assert scored["mean average precision"] == pytest.approx(reached, abs=1e-6)
    assert (results[1] / "model.onnx").is_file()
    (stat,) = (await client.jobs.get(jobs[1])).job.result.stats
    assert stat.metric == "INT8" and f" layers quantized with {UNSEEN} images" in stat.value
    if detectors.EVERY:
        (job,) = await client.jobs.run("model", model.id, JobRun(job=jobs[1], actions=["evaluate"]))
        detail = await until(client, job, ended)
        assert detail.job.state is State.DONE, (await client.logs.tail(job, 10_000)).data.decode()
        metrics = json.loads((daemon.root / "jobs" / job / "results" / "metrics.json").read_text())
        print(network, "int8", metrics["mean average precision"], stat.value)
        assert metrics["mean average precision"] >= reached - INT8
        assert len(list((results[2] / "images_annotated").glob("*.png"))) == UNSEEN
        assert len(list((results[2] / "labels").glob("*.txt"))) == UNSEEN
