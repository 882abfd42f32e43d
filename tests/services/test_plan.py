"""From a job in the store to a command: facts, files, and messages about missing data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runners.protocol import Command
from runners.registry import RunnerRegistry
from store import Store
from store.records import DatasetRecord, JobRecord, ModelRecord, NewJob
from taod import atomic_file
from taod.catalogue import Catalogue
from taod.catalogue.schema.merge import default
from taod.clock import SystemClock
from taod.config import DevicesConfig, RunnerConfig
from taod.errors import BadRequest
from taod.paths import Root
from taod.scheduler.devices.inventory import DevicePool
from taod.services.datasets.dataset_records import Uploads
from taod.services.datasets.lineage import Lineage
from taod.services.jobs.command_builder import CommandBuilder
from taod.services.jobs.resolution import Resolver
from taod.services.snapshots import Snapshots
from taod.telemetry.bus import EventBus
from taod.telemetry.publisher import Publisher
from taod.types.job import Kpi, Result
from taod.types.reason import POSTED, Reason, ReasonCode
from taod.types.reason_text import data_text
from taod.types.state import State


class House:
    """A store in memory, a root, and a planner over both."""

    def __init__(self, path: Path) -> None:
        self.store = Store.open(None)
        self.root = Root(path / "root")
        self.root.make()
        self.uploads = Uploads()
        pool = DevicePool.detect(DevicesConfig(gpus=False))
        runners = RunnerRegistry.from_config(RunnerConfig())
        self.lineage = Lineage(self.store, Publisher(EventBus()), SystemClock(), 10.0)
        self.commands = CommandBuilder(
            store=self.store,
            root=self.root,
            catalogue=Catalogue(),
            resolver=Resolver(self.store, runners, pool),
            uploads=self.uploads,
            lineage=self.lineage,
            snapshots=Snapshots(self.store),
        )
        self.user = self.store.users.add("local").id

    async def prepare(self, job: JobRecord) -> Command:
        return (await self.commands.prepare(job))[1]

    def dataset(self, name: str, state: str = "ready") -> str:
        record = DatasetRecord(
            id=f"d-{name}", user_id=self.user, name=name, description="", logo="", version="",
            type="image_classification", format="classification_pyt", created_on="1", last_modified="1", state=state,
        )  # fmt: skip
        self.store.datasets.add(record)
        if state == "ready":
            for split in ("images_train", "images_val", "images_test"):
                (self.root.dataset(record.id) / split / "cat").mkdir(parents=True)
            (self.root.dataset(record.id) / "classes.txt").write_text("cat\n")
        return record.id

    def model(self, **fields) -> str:
        record = ModelRecord(
            id="m", user_id=self.user, network_arch="classification_pyt", name="reader", description="", logo="",
            version="", created_on="1", last_modified="1", dataset_type="image_classification",
            encryption_key="very secret", **fields,
        )  # fmt: skip
        return self.store.models.add(record).id

    def job(self, action: str, parent: str | None = None):
        new = NewJob(
            id=f"j-{action}", user_id=self.user, owner_kind="model", owner_id="m", network="classification_pyt",
            action=action, parent_id=parent, state=State.WAITING, reason=POSTED,
            spec=default("classification_pyt", action),
            metric="loss",
        )  # fmt: skip
        return self.store.jobs.add([new])[0]


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    yield house
    house.store.close()


async def test_a_training_gets_its_spec_its_folders_and_its_command(house) -> None:
    train, val = house.dataset("train"), house.dataset("val")
    house.model(train_datasets=[train], eval_dataset=val)
    job = house.job("train")
    command = await house.prepare(job)
    folder = house.root.job(job.id)
    assert command.argv[:2] == ["classification_pyt", "train"]
    assert (command.network, command.image, command.secrets) == ("classification_pyt", "tlt-pytorch", ["very secret"])
    assert folder.results.is_dir()
    (spec,) = folder.path.glob("*.yaml")
    assert f"{house.root.dataset(train)}/images_train" in spec.read_text()
    assert spec.stat().st_mode & 0o777 == 0o600
    assert f"{house.root.dataset(val)}/images_val" in spec.read_text()
    assert any(str(house.root.dataset(train)) == path for path in command.reads)
    shown = folder.command.read_text()
    assert json.loads(shown)["argv"][0] == "classification_pyt"
    assert "very secret" not in shown
    assert not list(folder.path.glob(".*"))


async def test_a_child_gets_the_weights_of_its_parent(house) -> None:
    house.model(eval_dataset=house.dataset("val"))
    train = house.job("train")
    weights = house.root.job(train.id).results / "train" / "epoch_2.pth"
    evaluate = house.job("evaluate", train.id)
    with pytest.raises(BadRequest, match="the parent train j-train left no weights in"):
        await house.prepare(evaluate)
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"w")
    await house.prepare(evaluate)
    (spec,) = house.root.job(evaluate.id).path.glob("*.yaml")
    assert str(weights) in spec.read_text()


async def test_a_job_waits_for_missing_data_by_name(house) -> None:
    train, val = house.dataset("train"), house.dataset("late", state="empty")
    house.model(train_datasets=[train], eval_dataset=val)
    job = house.job("train")
    assert (
        data_text(house.commands.unready(job))
        == "its eval dataset 'late' has no data yet: upload an archive or link a folder"
    )
    with house.uploads.claim(val):
        assert data_text(house.commands.unready(job)) == "its eval dataset 'late' is still being uploaded"
    house.store.datasets.update(val, state="ready")
    assert house.commands.unready(job) is None
    with pytest.raises(BadRequest, match="the data of dataset 'late' is not at"):
        await house.prepare(job)


def test_a_job_waits_for_a_conversion_which_does_not_wait_for_itself(house) -> None:
    train = house.dataset("train")
    house.model(train_datasets=[train])
    job = house.job("train")
    new = NewJob(
        id="c0ffee00-convert", user_id=house.user, owner_kind="dataset", owner_id=train, network="object_detection",
        action="convert", parent_id=None, state=State.QUEUED, reason=POSTED,
    )  # fmt: skip
    (convert,) = house.store.jobs.add([new])
    assert house.commands.unready(convert) is None
    words = "its train dataset 'train' is being converted by convert c0ffee00"
    assert data_text(house.commands.unready(job)) == words
    house.store.jobs.transition(convert.id, State.HELD, Reason(ReasonCode.HELD))
    assert data_text(house.commands.unready(job)) == f"{words} (held)"
    house.store.jobs.transition(convert.id, State.QUEUED, Reason(ReasonCode.RELEASED))
    house.store.jobs.transition(convert.id, State.FAILED, Reason(ReasonCode.REPORTED, {"message": "its disk is full"}))
    assert house.commands.unready(job) is None


def test_a_file_is_replaced_atomically(tmp_path) -> None:
    path = tmp_path / "deep" / "spec.yaml"
    atomic_file.write(path, b"one")
    atomic_file.write(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["spec.yaml"]


@pytest.mark.parametrize(("checkpoint", "expected"), [("latest", "epoch_3.pth"), ("best", "epoch_2.pth")])
async def test_the_checkpoint_to_use_is_a_setting(house, checkpoint, expected) -> None:
    val = house.dataset("val")
    house.model(train_datasets=[house.dataset("train")], eval_dataset=val)
    train = house.job("train")
    results = house.root.job(train.id).results
    results.mkdir(parents=True)
    for epoch in (1, 2, 3):
        (results / f"epoch_{epoch}.pth").write_bytes(b"weights")
    losses = Kpi("loss", {"1": 0.9, "2": 0.1, "3": 0.4})
    house.store.jobs.save_result(train.id, Result(kpi=[losses]))
    house.commands._best = checkpoint == "best"
    job = house.job("evaluate", parent=train.id)
    await house.prepare(job)
    assert f"checkpoint: {results / expected}" in (house.root.job(job.id).path / "spec.yaml").read_text()
