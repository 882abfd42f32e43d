"""The classifiers of the TF1 and TF2 tools on the embedded engine over HTTP: train, evaluate, export and inference."""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path

import pytest

from taod.catalogue.schema.merge import merge
from taod.client import AsyncClient
from taod.types.dataset import DatasetCreate
from taod.types.job import JobRun
from taod.types.model import ModelCreate
from taod.types.state import State
from tests.e2e.journey import Daemon, ended, until
from tests.engine import classifiers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.engine,
    pytest.mark.skipif(not classifiers.EVERY, reason="run by make test-engine"),
]

LEAST = 0.7
"""Of accuracy; chance is 1/3, and 5/12 as the mean of three shapes and two sizes."""


async def _model(client: AsyncClient, tmp_path: Path, network: str) -> str:
    """A model with its data and specification."""
    tables = network == "multitask_classification"
    folder = classifiers.write(tmp_path / "shapes", 240, 60, tables=tables)
    archive = tmp_path / "shapes.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as target:
        for place in sorted(folder.iterdir()):
            target.add(place, place.name)
    created = await client.datasets.create(
        DatasetCreate(type="image_classification", format="custom" if tables else "default", name="shapes")
    )
    await client.datasets.upload(created.id, archive)
    model = await client.models.create(
        ModelCreate(
            network_arch=network,
            name="shapes",
            train_datasets=[created.id],
            eval_dataset=created.id,
            inference_dataset=created.id,
        )
    )
    default = (await client.specs.schema("model", model.id, "train"))["default"]
    changes = classifiers.changes(network, classifiers.EPOCHS[network])
    await client.specs.save("model", model.id, "train", merge(default, changes))
    return model.id


@pytest.mark.parametrize("network", classifiers.NETWORKS)
async def test_a_classifier_learns_and_is_deployed(
    daemon: Daemon, client: AsyncClient, tmp_path: Path, network: str
) -> None:
    tables = network == "multitask_classification"
    model_id = await _model(client, tmp_path, network)

    (training,) = await client.jobs.run("model", model_id, JobRun(actions=["train"]))
    done = await until(client, training, ended)
    log = (await client.logs.tail(training, 10_000)).data.decode()
    assert done.job.state is State.DONE, log
    name = classifiers.ACCURACY[network]
    kpi = {one.metric: one for one in done.job.result.kpi}
    reached = float(list(kpi[name].values.values())[-1])
    print(network, reached, log.splitlines()[-1])
    assert reached > LEAST, log

    actions = ["evaluate", "inference", "export", *(["confmat"] if tables else [])]
    jobs = await client.jobs.run("model", model_id, JobRun(job=training, actions=actions))
    for job in jobs:
        detail = await until(client, job, ended)
        assert detail.job.state is State.DONE, (await client.logs.tail(job, 10_000)).data.decode()
    results = [daemon.root / "jobs" / job / "results" for job in jobs]
    scored = json.loads((results[0] / "metrics.json").read_text())
    value = next(scored[key] for key in (name, "accuracy") if key in scored)
    assert value == pytest.approx(reached, abs=1e-6)
    with (results[1] / "result.csv").open() as file:
        assert len(list(csv.DictReader(file))) == (1 if tables else 60)  # of several tasks the tool reads one image
    assert (results[2] / "model.onnx").is_file()
    if tables:
        with (results[3] / "confusion_matrix_shape.csv").open() as file:
            rows = list(csv.reader(file))[1:]
        assert sum(int(cell) for row in rows for cell in row[1:]) == 60


async def test_a_pruned_classifier_keeps_its_accuracy(client: AsyncClient, tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning")
    model_id = await _model(client, tmp_path, "classification_tf1")
    await client.specs.save("model", model_id, "prune", {"pruning_threshold": 0.9})
    own = await client.specs.schema("model", model_id, "retrain")
    changes = classifiers.changes("classification_tf1", 3)
    await client.specs.save("model", model_id, "retrain", merge(own["default"], changes))

    reached: list[float] = []
    parent = None
    for action in ("train", "prune", "retrain"):
        (job,) = await client.jobs.run("model", model_id, JobRun(job=parent, actions=[action]))
        done = await until(client, job, ended)
        log = (await client.logs.tail(job, 10_000)).data.decode()
        assert done.job.state is State.DONE, log
        kpi = {one.metric: one for one in done.job.result.kpi}
        stats = {stat.metric: stat.value for stat in done.job.result.stats}
        if action == "prune":
            assert {"parameters", "FLOPs of an image", "validation_accuracy"} <= stats.keys(), stats
            assert float(stats["validation_accuracy"].partition(" before")[0]) == pytest.approx(reached[0], abs=1e-4)
        else:
            reached.append(float(list(kpi["validation_accuracy"].values.values())[-1]))
        print(action, stats, reached)
        parent = job
    assert reached[1] >= reached[0] - 0.05
