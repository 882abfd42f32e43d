"""A segmentation network of the embedded engine over HTTP: train, evaluate and export."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from taod.catalogue.schema.merge import merge
from taod.client import AsyncClient
from taod.types.dataset import DatasetCreate
from taod.types.job import JobRun
from taod.types.model import ModelCreate
from taod.types.state import State
from tests.e2e.journey import Daemon, ended, until
from tests.engine import shapes_set

pytestmark = [pytest.mark.slow, pytest.mark.engine]

SIDE = 32
REACHED = 0.6
"""Mean IoU; 0.8 was measured, and masks of background alone reach 0.3."""
SMALL = {
    "dataset": {
        "batch_size": 4,
        "workers_per_gpu": 0,
        "palette": [
            {"seg_class": name, "mapping_class": name, "label_id": number, "rgb": [80 * number] * 3}
            for number, name in enumerate(shapes_set.NAMES)
        ],
        "train_dataset": {
            "pipeline": {"augmentation_config": {"resize": {"img_scale": [SIDE, SIDE], "ratio_range": [0.8, 1.3]}}}
        },
    },
    "model": {"input_height": SIDE, "input_width": SIDE, "backbone": {"type": "mit_b0"}},
    "train": {
        "max_iters": 30, "validation_interval": 15, "checkpoint_interval": 15, "logging_interval": 5,
        "trainer": {"sf_optim": {"lr": 1e-3}},
    },
}  # fmt: skip


async def test_segformer_learns_and_is_exported(daemon: Daemon, client: AsyncClient, tmp_path: Path) -> None:
    for split, count in (("train", 48), ("val", 12), ("test", 2)):
        shapes_set.write(tmp_path / "shapes", split, count, SIDE)
    archive = tmp_path / "shapes.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "shapes", ".")
    data = await client.datasets.create(DatasetCreate(type="semantic_segmentation", format="unet", name="shapes"))
    await client.datasets.upload(data.id, archive)
    model = await client.models.create(
        ModelCreate(network_arch="segformer", name="shapes", train_datasets=[data.id], eval_dataset=data.id)
    )
    for action in ("train", "evaluate"):
        default = (await client.specs.schema("model", model.id, action))["default"]
        small = (
            SMALL if action == "train" else {"dataset": {"workers_per_gpu": 0, "palette": SMALL["dataset"]["palette"]}}
        )
        await client.specs.save("model", model.id, action, merge(default, small))

    async def done(job: str) -> Path:
        detail = await until(client, job, ended)
        assert detail.job.state is State.DONE, (await client.logs.tail(job, 10_000)).data.decode()
        return daemon.root / "jobs" / job / "results"

    (training,) = await client.jobs.run("model", model.id, JobRun(actions=["train"]))
    assert sorted(path.name for path in ((await done(training)) / "train").iterdir()) == ["iter_15.pth", "iter_30.pth"]
    kpi = {one.metric: one for one in (await client.jobs.get(training)).job.result.kpi}
    reached = float(list(kpi["Mean IOU"].values.values())[-1])
    assert reached > REACHED

    jobs = await client.jobs.run("model", model.id, JobRun(job=training, actions=["evaluate", "export"]))
    evaluated, exported = [await done(job) for job in jobs]
    assert json.loads((evaluated / "metrics.json").read_text())["Mean IOU"] == pytest.approx(reached, abs=1e-6)
    assert (exported / "model.onnx").is_file()
    environment = os.environ | {"TAOD_ROOT": str(daemon.root)}
    command = [sys.executable, "-m", "taod", "model", "pack", model.id, "--triton", "--json", "-o", str(tmp_path)]
    made = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    packed = json.loads(made.stdout)
    assert packed["runnable"] and packed["jobs"] == [training, jobs[1]]
    with zipfile.ZipFile(packed["path"]) as archive:
        archive.extractall(tmp_path / "away")
    away = tmp_path / "away"
    sums = dict(reversed(line.split("  ")) for line in (away / "SHA256SUMS").read_text().splitlines())
    files = {path.relative_to(away).as_posix(): path for path in away.rglob("*") if path.is_file()}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == sums | {
        "SHA256SUMS": hashlib.sha256((away / "SHA256SUMS").read_bytes()).hexdigest()
    }
    card = (away / "MODEL_CARD.md").read_text()
    assert f"{reached:.4g}" in card and f"## train `{training}`" in card
    assert "fingerprint" in card and not re.search("encryption_key|tlt_encode", "".join(map(str, files)) + card)
    image = next((tmp_path / "shapes" / "images" / "val").iterdir())
    command = [sys.executable, str(away / "run_model.py"), str(image)]
    ran = await asyncio.to_thread(subprocess.run, command, cwd=away, capture_output=True, text=True)
    assert ran.returncode == 0 and f"mask in predictions/{image.stem}.png" in ran.stdout, ran.stderr


UNET = {
    "random_seed": 7,
    "dataset_config": {
        "data_class_config": {
            "target_classes": [
                {"name": name, "mapping_class": name, "label_id": number}
                for number, name in enumerate(shapes_set.NAMES)
            ]
        }
    },
    "model_config": {
        "arch": "resnet", "num_layers": 18, "model_input_height": SIDE, "model_input_width": SIDE,
        "model_input_channels": 3,
    },
    "training_config": {
        "batch_size": 8, "epochs": 4, "checkpoint_interval": 2, "optimizer": {"adam": {}}, "learning_rate": 0.002,
    },
}  # fmt: skip


@pytest.mark.skipif("TAOD_EVERY_NETWORK" not in os.environ, reason="run by make test-engine")
async def test_unet_learns_and_is_deployed(daemon: Daemon, client: AsyncClient, tmp_path: Path) -> None:
    for split, count in (("train", 48), ("val", 12), ("test", 2)):
        shapes_set.write(tmp_path / "shapes", split, count, SIDE)
    archive = tmp_path / "shapes.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "shapes", ".")
    data = await client.datasets.create(DatasetCreate(type="semantic_segmentation", format="unet", name="shapes"))
    await client.datasets.upload(data.id, archive)
    model = await client.models.create(
        ModelCreate(
            network_arch="unet", name="shapes", train_datasets=[data.id], eval_dataset=data.id,
            inference_dataset=data.id,
        )
    )  # fmt: skip
    for action in ("train", "evaluate", "inference"):
        default = (await client.specs.schema("model", model.id, action))["default"]
        await client.specs.save("model", model.id, action, merge(default, UNET))

    async def done(job: str) -> Path:
        detail = await until(client, job, ended)
        assert detail.job.state is State.DONE, (await client.logs.tail(job, 10_000)).data.decode()
        return daemon.root / "jobs" / job / "results"

    (training,) = await client.jobs.run("model", model.id, JobRun(actions=["train"]))
    trained = await done(training)
    assert (trained / "weights/model.epoch-4.pth").is_file()
    kpi = {one.metric: one for one in (await client.jobs.get(training)).job.result.kpi}
    print("unet", {name: list(one.values.values())[-1] for name, one in kpi.items()})
    actions = ["evaluate", "inference", "export"]
    jobs = await client.jobs.run("model", model.id, JobRun(job=training, actions=actions))
    evaluated, inferred, exported = [await done(job) for job in jobs]
    scored = json.loads((evaluated / "metrics.json").read_text())
    print("unet", {name: value for name, value in scored.items() if isinstance(value, float)})
    assert max(value for name, value in scored.items() if "IoU" in name or "IOU" in name) > REACHED
    assert len(list((inferred / "vis_overlay").iterdir())) == 2
    assert (exported / "model.onnx").is_file()
