"""What a user gets to read who does something wrong."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from taod.catalogue.schema.merge import merge
from taod.cli.commands.quickstart import digits_spec
from taod.cli.support import sample_dataset
from taod.client.errors import ClientError
from taod.client.http import Client
from taod.types.dataset import DatasetCreate
from taod.types.job import JobRun
from taod.types.model import ModelCreate
from taod.types.state import State
from tests.e2e.journey import ended, small_model, train, until

pytestmark = pytest.mark.slow


async def refused(call: object) -> ClientError:
    with pytest.raises(ClientError) as told:
        await call  # type: ignore[misc]
    return told.value


@pytest.mark.engine
async def test_a_corrupt_image_is_named(client: Client, images: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(images, spoilt)
    victim = sorted((spoilt / "images_val" / "3").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:60])
    job_id = await train(client, await small_model(client, spoilt, tmp_path, epochs=1))
    detail = await until(client, job_id, ended)
    assert detail.job.state is State.FAILED
    assert victim.name in detail.job.reason


async def test_a_corrupt_archive_is_refused_and_the_old_data_stays(
    client: Client, images: Path, tmp_path: Path
) -> None:
    made = await client.create_dataset(DatasetCreate(type="image_classification", format="classification_pyt"))
    archive = sample_dataset.pack(images, "test", tmp_path)
    await client.upload(made.id, archive)
    before = await client.dataset_summary(made.id)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(archive.read_bytes()[:20_000])
    error = await refused(client.upload(made.id, cut))
    assert error.status == 400
    assert any(word in error.description for word in ("truncated", "cut off", "corrupt"))
    assert await client.dataset_summary(made.id) == before


async def test_a_wrong_type_in_a_spec_is_told_by_path_value_and_rule(client: Client) -> None:
    model = await client.create_model(ModelCreate(network_arch="classification_pyt"))
    default = (await client.schema("model", model.id, "train"))["default"]
    document = merge(
        default, {"train": {"train_config": {"optimizer": {"lr": "fast"}, "runner": {"max_epochs": "many"}}}}
    )
    error = await refused(client.save_spec("model", model.id, "train", document))
    assert error.status == 400
    for said in ("train.train_config.optimizer.lr", "fast", "train.train_config.runner.max_epochs", "Invalid specs"):
        assert said in error.description


async def test_a_job_without_its_dataset_is_refused_with_the_field_to_set(client: Client) -> None:
    model = await client.create_model(ModelCreate(network_arch="classification_pyt"))
    default = (await client.schema("model", model.id, "train"))["default"]
    await client.save_spec("model", model.id, "train", merge(default, digits_spec(1)))
    error = await refused(client.run("model", model.id, JobRun(actions=["train"])))
    assert error.status == 400
    assert "train_datasets" in error.description


async def test_a_network_that_nothing_here_can_run_is_refused_with_the_remedy(
    client: Client, images: Path, tmp_path: Path
) -> None:
    made = await client.create_dataset(DatasetCreate(type="object_detection", format="coco"))
    await client.upload(made.id, coco(images, tmp_path))
    model = await client.create_model(
        ModelCreate(network_arch="dino", train_datasets=[made.id], eval_dataset=made.id, inference_dataset=made.id)
    )
    error = await refused(client.run("model", model.id, JobRun(actions=["train"])))
    assert error.status == 400
    for said in ("dino", "embedded", "runner.native"):
        assert said in error.description
    assert (await client.jobs()).total == 0


def coco(images: Path, into: Path) -> Path:
    """The smallest COCO dataset: one image, nothing in it."""
    archive = into / "coco.tar.gz"
    annotations = into / "annotations.json"
    annotations.write_text('{"images": [{"id": 1, "file_name": "0.png"}], "annotations": [], "categories": []}')
    with tarfile.open(archive, "w:gz") as out:
        out.add(next((images / "images_test" / "0").iterdir()), "images/0.png")
        out.add(annotations, "annotations.json")
    return archive
