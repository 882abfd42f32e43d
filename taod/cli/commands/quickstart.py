"""`taod quickstart`: train, evaluate, export and use a model on real images, only through the HTTP API."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import rich_click as click
from rich.table import Table

from taod import program
from taod.catalogue.schema.merge import merge
from taod.cli.support import background, sample_dataset
from taod.cli.support.output import console as make_console
from taod.cli.support.progress import watch
from taod.client import AsyncClient
from taod.client.find import find
from taod.errors import TaodError
from taod.types.dataset import DatasetCreate
from taod.types.job import JobDetail, JobRun
from taod.types.model import ModelCreate, ModelPatch
from taod.types.state import State

NETWORK = "classification_pyt"
ACTIONS = ["train", "evaluate", "export", "inference"]
MAX_DIFFERENCE = 1e-3
"""Largest difference between the accuracies of the ONNX model and the evaluate job."""
MIN_ACCURACY = 0.95
"""Lowest accuracy that counts as a success; the digits are easy."""
ONNX_BATCH = 64
TIMEOUT_S = 60
"""Limit of the wait for the daemon's exit."""

console = make_console(soft_wrap=True)


class QuickstartFailed(TaodError):
    """A step failed; the message names the step and its log."""


@click.command()
@click.option("--keep", is_flag=True, help="Leave the daemon running and its root in place.")
@click.option("--epochs", type=click.IntRange(1), default=8, show_default=True, help="Epochs to train.")
def quickstart(keep: bool, epochs: int) -> None:
    """Start a daemon on a temporary root, train a classifier of handwritten digits, evaluate it, export it to ONNX,
    run it on unseen images, and compare the ONNX model with it in onnxruntime."""
    started = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="taod-quickstart-"))
    daemon = _start_daemon(root)
    try:
        asyncio.run(_workflow(root, epochs))
    except BaseException:
        console.print(f"The daemon's log: {root / 'daemon.log'}; its root is kept: {root}", style="dim")
        _stop_daemon(daemon)
        raise
    console.print(f"Done in {time.monotonic() - started:.0f} s.")
    if keep:
        console.print("\nThe daemon keeps running. To see it, and to stop it:", highlight=False)
        taod = program.typed()
        console.print(f"  {taod} tui --root {root}\n  {taod} stop --root {root}", style="bold", highlight=False)
    else:
        _stop_daemon(daemon)
        shutil.rmtree(root)
        console.print(f"Daemon stopped, {root} removed; --keep leaves both for `taod tui`.", style="dim")


def _start_daemon(root: Path) -> subprocess.Popen[str]:
    """Start a daemon on a free loopback port, and print its line. Raises QuickstartFailed."""
    try:
        daemon, line = background.start("--root", str(root), "--port", "0")
    except background.NotStarted as error:
        raise QuickstartFailed(f"the daemon did not start: {error}") from error
    console.print(line, style="green", highlight=False)
    return daemon


def _stop_daemon(daemon: subprocess.Popen[str]) -> None:
    daemon.terminate()
    try:
        daemon.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        daemon.kill()


async def _workflow(root: Path, epochs: int) -> None:
    info = find(root, None, None)
    async with AsyncClient.from_info(info) as client, _images() as folder:
        datasets = await _upload(client, folder)
        model_id = await _model(client, datasets)
        await _spec(client, model_id, epochs)
        job_ids = await client.jobs.run("model", model_id, JobRun(actions=ACTIONS))
        console.print(f"Posted the chain {' → '.join(ACTIONS)}.")
        jobs = dict(zip(ACTIONS, [await _finish(client, job_id) for job_id in job_ids], strict=True))
        _show(jobs)
        await _check_onnx(client, jobs, folder)


@asynccontextmanager
async def _images() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="taod-digits-") as folder:
        counts = await asyncio.to_thread(sample_dataset.write, Path(folder))
        by_split = ", ".join(f"{count} {split}" for split, count in counts.items())
        console.print(f"Wrote {sum(counts.values())} scans of handwritten digits as PNGs: {by_split}.")
        yield Path(folder)


async def _upload(client: AsyncClient, folder: Path) -> dict[str, str]:
    """Upload a dataset per split; returns split → dataset id."""
    ids = {}
    for split in sample_dataset.SPLITS:
        created = await client.datasets.create(
            DatasetCreate(type="image_classification", format=NETWORK, name=f"digits {split}")
        )
        archive = await asyncio.to_thread(sample_dataset.pack, folder, split, folder)
        await client.datasets.upload(created.id, archive)
        summary = await client.datasets.summary(created.id)
        console.print(f"Uploaded {archive.name}: {summary.images} images in {len(summary.classes)} classes.")
        ids[split] = created.id
    return ids


async def _model(client: AsyncClient, datasets: dict[str, str]) -> str:
    model = await client.models.create(ModelCreate(network_arch=NETWORK, name="digits", encryption_key="tlt_encode"))
    await client.models.update(
        model.id,
        ModelPatch(
            train_datasets=[datasets["train"]], eval_dataset=datasets["val"], inference_dataset=datasets["test"]
        ),
    )
    return model.id


async def _spec(client: AsyncClient, model_id: str, epochs: int) -> None:
    """Save the default train specification with the changes for the digits."""
    schema = await client.specs.schema("model", model_id, "train")
    spec = merge(schema["default"], digits_spec(epochs))
    await client.specs.save("model", model_id, "train", spec)
    console.print(f"Saved the train spec: {spec['model']['backbone']['type']}, {epochs} epochs.")


def digits_spec(epochs: int) -> dict[str, Any]:
    """Changes of the default train specification for the digits: small images, a small network, no flips."""
    return {
        "dataset": {
            "data": {
                "samples_per_gpu": 32,
                "workers_per_gpu": 0,
                "train": {"pipeline": [{"type": "RandomCrop", "size": sample_dataset.SIDE, "padding": 3}]},
            }
        },
        "model": {"backbone": {"type": "resnet_tiny"}, "head": {"num_classes": len(sample_dataset.CLASSES)}},
        "train": {
            "train_config": {
                "runner": {"max_epochs": epochs},
                "optimizer": {"type": "AdamW", "lr": 0.002},
                "logging": {"interval": 10},
            },
        },
    }


async def _finish(client: AsyncClient, job_id: str) -> JobDetail:
    """Follow a job to its end. Raises QuickstartFailed with its reason and the last lines of its log."""
    await watch(client, job_id, console)
    detail = await client.jobs.get(job_id)
    if detail.job.state is not State.DONE:
        tail = (await client.logs.tail(job_id, 15)).data.decode(errors="replace")
        raise QuickstartFailed(f"{detail.job.action} ended {detail.job.state}: {detail.job.reason}\n{tail}")
    return detail


def _show(jobs: dict[str, JobDetail]) -> None:
    kpis = Table("job", "KPI", "last value", title="KPIs", title_justify="left")
    for action, detail in jobs.items():
        for kpi in detail.job.result.kpi:
            values = [value for value in kpi.values.values() if value is not None]
            kpis.add_row(action, kpi.metric, f"{values[-1]:.4f}" if values else "—")
    console.print(kpis)
    for title, action, patterns in (
        ("checkpoint", "train", ("*.pth",)),
        ("ONNX", "export", ("*.onnx",)),
        ("labelled", "inference", ("*.csv", "*.json")),
    ):
        for path in newest(Path(jobs[action].folder), patterns)[:1]:
            console.print(f"{title:<11}{path}", highlight=False)


def newest(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Result files of a job that match a pattern, newest first."""
    found = [path for pattern in patterns for path in (folder / "results").rglob(pattern)]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


async def _check_onnx(client: AsyncClient, jobs: dict[str, JobDetail], folder: Path) -> None:
    """Download the ONNX model, run it in onnxruntime on the evaluation data, and compare its accuracy with evaluate."""
    reported = metric(jobs["evaluate"], "accuracy_top-1")
    files = await client.files.list(jobs["export"].job.id)
    path = next(file.path for file in files if file.path.endswith(".onnx"))
    onnx_file = await client.files.download(jobs["export"].job.id, path, folder / "model.onnx")
    measured = await asyncio.to_thread(_accuracy_of, onnx_file, folder / "images_val")
    console.print(
        f"The ONNX model in onnxruntime: accuracy {measured:.4f} on the eval set; evaluate reported {reported:.4f}."
    )
    if abs(measured - reported) > MAX_DIFFERENCE:
        raise QuickstartFailed(
            f"the ONNX model's accuracy {measured:.4f} differs from {reported:.4f}, which evaluate reported"
        )
    if measured < MIN_ACCURACY:
        raise QuickstartFailed(f"accuracy {measured:.4f} is below {MIN_ACCURACY}; train longer with `--epochs N`")


def metric(detail: JobDetail, name: str) -> float:
    """The last value of a KPI. Raises QuickstartFailed with the names of the reported KPIs."""
    for kpi in detail.job.result.kpi:
        values = [value for value in kpi.values.values() if value is not None]
        if kpi.metric == name and values:
            return values[-1]
    known = ", ".join(kpi.metric for kpi in detail.job.result.kpi) or "none"
    raise QuickstartFailed(f"{detail.job.action} reported no {name}; it reported {known}")


def _accuracy_of(onnx_file: Path, folder: Path) -> float:
    """Share of the images in `<folder>/<class>/*` that an exported classifier classifies correctly, in [0, 1].

    Classes, normalisation and input size come from the model's own metadata.
    """
    import numpy as np
    import onnxruntime
    from PIL import Image

    session = onnxruntime.InferenceSession(str(onnx_file), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    classes = json.loads(metadata["classes"])
    mean, std = (np.array(json.loads(metadata[key]), np.float32) for key in ("mean", "std"))
    height, width = session.get_inputs()[0].shape[2:]
    images = sorted(path for path in folder.rglob("*") if path.is_file())
    correct = 0
    for start in range(0, len(images), ONNX_BATCH):
        batch = images[start : start + ONNX_BATCH]
        pixels = np.stack(
            [np.asarray(Image.open(path).convert("RGB").resize((width, height)), np.float32) for path in batch]
        )
        scores = session.run(None, {session.get_inputs()[0].name: ((pixels - mean) / std).transpose(0, 3, 1, 2)})[0]
        correct += sum(
            classes[best] == path.parent.name for best, path in zip(scores.argmax(axis=1), batch, strict=True)
        )
    return correct / len(images)
