"""The errors that a user reads after a mistake."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Awaitable
from pathlib import Path

import pytest

from taod.catalogue.schema.merge import merge
from taod.cli.commands.quickstart import digits_spec
from taod.cli.support import sample_dataset
from taod.client import AsyncClient
from taod.client.errors import ClientError
from taod.types.dataset import DatasetCreate
from taod.types.job import JobRun
from taod.types.model import ModelCreate
from taod.types.state import State
from tests.e2e.journey import ended, small_model, train, until

pytestmark = pytest.mark.slow


async def error_of(call: Awaitable[object]) -> ClientError:
    """The error with which the daemon rejects a call."""
    with pytest.raises(ClientError) as caught:
        await call
    return caught.value


@pytest.mark.engine
async def test_a_corrupt_image_is_named(client: AsyncClient, images: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(images, damaged)
    corrupt = sorted((damaged / "images_val" / "3").iterdir())[0]
    corrupt.write_bytes(corrupt.read_bytes()[:60])
    job_id = await train(client, await small_model(client, damaged, tmp_path, epochs=1))
    detail = await until(client, job_id, ended)
    assert detail.job.state is State.FAILED
    assert corrupt.name in detail.job.reason


async def test_a_corrupt_archive_is_rejected_and_keeps_the_old_data(
    client: AsyncClient, images: Path, tmp_path: Path
) -> None:
    created = await client.datasets.create(DatasetCreate(type="image_classification", format="classification_pyt"))
    archive = sample_dataset.pack(images, "test", tmp_path)
    await client.datasets.upload(created.id, archive)
    before = await client.datasets.summary(created.id)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(archive.read_bytes()[:20_000])
    error = await error_of(client.datasets.upload(created.id, cut))
    assert error.status == 400
    assert any(word in error.description for word in ("truncated", "cut off", "corrupt"))
    assert await client.datasets.summary(created.id) == before


async def test_the_error_of_a_wrong_type_in_a_spec_names_path_value_and_rule(client: AsyncClient) -> None:
    model = await client.models.create(ModelCreate(network_arch="classification_pyt"))
    default = (await client.specs.schema("model", model.id, "train"))["default"]
    document = merge(
        default, {"train": {"train_config": {"optimizer": {"lr": "fast"}, "runner": {"max_epochs": "many"}}}}
    )
    error = await error_of(client.specs.save("model", model.id, "train", document))
    assert error.status == 400
    for part in ("train.train_config.optimizer.lr", "fast", "train.train_config.runner.max_epochs", "Invalid specs"):
        assert part in error.description


async def test_a_job_without_its_dataset_is_rejected_with_the_field_to_set(client: AsyncClient) -> None:
    model = await client.models.create(ModelCreate(network_arch="classification_pyt"))
    default = (await client.specs.schema("model", model.id, "train"))["default"]
    await client.specs.save("model", model.id, "train", merge(default, digits_spec(1)))
    error = await error_of(client.jobs.run("model", model.id, JobRun(actions=["train"])))
    assert error.status == 400
    assert "train_datasets" in error.description


async def test_a_network_without_a_runner_is_rejected_with_the_remedy(
    client: AsyncClient, images: Path, tmp_path: Path
) -> None:
    created = await client.datasets.create(DatasetCreate(type="object_detection", format="coco"))
    await client.datasets.upload(created.id, coco(images, tmp_path))
    model = await client.models.create(
        ModelCreate(
            network_arch="dino", train_datasets=[created.id], eval_dataset=created.id, inference_dataset=created.id
        )
    )
    error = await error_of(client.jobs.run("model", model.id, JobRun(actions=["train"])))
    assert error.status == 400
    for part in ("dino", "embedded", "runner.native"):
        assert part in error.description
    assert (await client.jobs.list()).total == 0


def coco(images: Path, into: Path) -> Path:
    """The smallest COCO dataset: one image without annotations."""
    archive = into / "coco.tar.gz"
    annotations = into / "annotations.json"
    annotations.write_text('{"images": [{"id": 1, "file_name": "0.png"}], "annotations": [], "categories": []}')
    with tarfile.open(archive, "w:gz") as out:
        out.add(next((images / "images_test" / "0").iterdir()), "images/0.png")
        out.add(annotations, "annotations.json")
    return archive
