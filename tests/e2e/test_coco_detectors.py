"""A detector of the embedded engine that learns from COCO annotations, over HTTP: train, interrupted and resumed,
evaluate, export and inference."""

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
from tests.e2e.journey import Daemon, ended, until
from tests.e2e.test_detectors import paused
from tests.engine import coco_detectors
from tests.engine.coco_detectors import CASES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.engine,
    pytest.mark.skipif(not coco_detectors.EVERY, reason="minutes of training; make test-engine runs it"),
]


async def _dataset(client: AsyncClient, folder: Path, kind: str) -> str:
    created = await client.datasets.create(DatasetCreate(type=kind, format="coco", name=folder.name))
    await client.datasets.upload(created.id, shapes.pack(folder, coco=True))
    return created.id


@pytest.mark.parametrize("network", CASES)
async def test_a_detector_learns_survives_an_interruption_and_is_deployed(
    daemon: Daemon, client: AsyncClient, tmp_path: Path, network: str
) -> None:
    case = CASES[network]
    train = await _dataset(client, shapes.write(tmp_path / "train", case.images, 1), case.dataset)
    held_out = await _dataset(client, shapes.write(tmp_path / "val", case.images // 4, 2), case.dataset)
    unseen = await _dataset(client, shapes.write(tmp_path / "unseen", 4, 3), case.dataset)
    model = await client.models.create(
        ModelCreate(
            network_arch=network, name="shapes", train_datasets=[train], eval_dataset=held_out, inference_dataset=unseen
        )
    )
    default = (await client.specs.schema("model", model.id, "train"))["default"]
    changes = coco_detectors.changes(network, case.epochs)
    await client.specs.save("model", model.id, "train", merge(default, changes))

    (training,) = await client.jobs.run("model", model.id, JobRun(actions=["train"]))
    await paused(daemon, client, training)
    await client.jobs.resume(training)
    done = await until(client, training, lambda detail: detail.job.state in (State.DONE, State.FAILED))
    log = (await client.logs.tail(training, 10_000)).data.decode()
    assert done.job.state is State.DONE, log
    assert "Going on at epoch" in log
    kpi = {one.metric: one for one in done.job.result.kpi}
    reached = float(list(kpi[case.trained].values.values())[-1])
    print(network, reached)
    assert reached > case.least

    jobs = await client.jobs.run("model", model.id, JobRun(job=training, actions=["evaluate", "inference", "export"]))
    for job in jobs:
        detail = await until(client, job, ended)
        assert detail.job.state is State.DONE, (await client.logs.tail(job, 10_000)).data.decode()
    results = [daemon.root / "jobs" / job / "results" for job in jobs]
    scored = json.loads((results[0] / "metrics.json").read_text())
    assert scored[case.kpi] == pytest.approx(reached, abs=1e-6)
    assert len(list((results[1] / "images_annotated").glob("*.png"))) == 4
    assert (results[2] / "model.onnx").is_file()
