"""A confirmed request is on the disk: each of its writes ends with a flush."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taod.config import Config
from taod.services import Services
from taod.services.composition import open_services
from taod.types.dataset import DatasetCreate, DatasetPatch
from taod.types.job import JobPatch, JobRun
from taod.types.model import ModelCreate, ModelPatch, PtmCreate

NETWORK = "classification_pyt"
DATASET = DatasetCreate(type="image_classification", format=NETWORK)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Services without a scheduler that runs, and an executable for one network."""
    tool = tmp_path / "bin" / NETWORK
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    config = Config()
    config.storage.root = str(tmp_path / "root")
    config.storage.link_roots = [str(tmp_path)]
    config.runner.native.path = [str(tool.parent)]
    config.devices.gpus = False
    services = open_services(config)
    yield services
    services.store.close()


@contextmanager
def flushed(services: Services) -> Iterator[None]:
    """The block has at least one transaction, and all are flushed."""
    seen: list[str] = []
    connection = services.store._database.connection
    connection.set_trace_callback(seen.append)
    yield
    connection.set_trace_callback(None)
    statements = [each for each in seen if each == "COMMIT" or each.startswith("PRAGMA synchronous")]
    flush = ["PRAGMA synchronous=FULL", "COMMIT", "PRAGMA synchronous=NORMAL"]
    assert statements and statements == flush * (len(statements) // 3)


async def test_writes_of_a_request_are_flushed(services: Services, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    with flushed(services):
        user = services.users.add("ada")[0].id
    with flushed(services):
        data = services.datasets.create(user, DATASET).id
    with flushed(services):
        services.datasets.update(user, data, DatasetPatch(name="images"))
    with flushed(services):
        services.ptms.register(user, PtmCreate(path=str(weights), network_arch=NETWORK))
    with flushed(services):
        model = services.models.create(user, ModelCreate(network_arch=NETWORK, train_datasets=[data])).id
    with flushed(services):
        services.models.update(user, model, ModelPatch(name="mine", eval_dataset=data))
    with flushed(services):
        first, second = await services.submission.post(user, "model", model, [JobRun(["train"]), JobRun(["train"])])
    with flushed(services):
        await services.jobs.patch(services.jobs.record(user, first), JobPatch(priority=3, held=True))
    with flushed(services):
        await services.jobs.cancel(services.jobs.record(user, first))
    with flushed(services):
        services.jobs.resume(services.jobs.record(user, first))
    with flushed(services):
        await services.jobs.cancel(services.jobs.record(user, second))
    with flushed(services):
        await services.jobs.delete(services.jobs.record(user, second))
    with flushed(services):
        await services.models.delete(user, model)
    with flushed(services):
        await services.datasets.delete(user, data)
