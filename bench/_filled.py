"""Stores with many datasets, models and jobs, like those of a workstation after years of use."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import msgspec

from store import Store
from store.records import DatasetRecord, ModelRecord, NewJob, UserRecord
from taod.clock import iso
from taod.ids import new_id
from taod.services.users import FIRST_USER
from taod.types.common import OwnerKind
from taod.types.job import DetailedStatus, Graphical, Kpi, Result
from taod.types.reason import POSTED
from taod.types.state import State

NETWORK = "classification_pyt"
KIND = "image_classification"
RESULT = Result(
    kpi=[
        Kpi(metric, {str(epoch): 1.0 / (epoch + 1) for epoch in range(30)}) for metric in ("train_loss", "val_accuracy")
    ],
    graphical=[Graphical("loss", {str(epoch): 1.0 / (epoch + 1) for epoch in range(30)}, x_max=30, y_max=1.0)],
    epoch=30,
    max_epoch=30,
    eta="0:00:00",
    time_per_epoch="0:00:12",
    detailed_status=DetailedStatus("11/24/2025", "10:11:12", "SUCCESS", "train finished successfully."),
)
"""The stored result of a training of 30 epochs: two metrics and a curve."""
_SPEC = {"train": {"num_epochs": 30, "train_config": {"batch_size": 32}}, "dataset": {"data": {"samples_per_gpu": 32}}}


class Clock:
    """A clock that advances one second per call, from November 2023."""

    def __init__(self) -> None:
        self._ticks = count(1_700_000_000)

    def time(self) -> float:
        return float(next(self._ticks))

    monotonic = time


def fill(
    path: Path, *, datasets: int = 0, models: int = 0, jobs_each: int = 10, waiting: int = 0, queued: int = 0
) -> UserRecord:
    """Create the store at `path` with datasets and models that have `jobs_each` done jobs with results each, and with
    further jobs of one model that wait for data or are queued. All belong to the first user. Returns that user."""
    clock = Clock()
    store = Store.open(path, clock=clock)
    try:
        with store.transaction():
            user = store.users.add(FIRST_USER)
            for number in range(datasets):
                _done(store, _dataset(store, user, f"Dataset {number % 977}"), "convert", jobs_each)
            for number in range(models):
                _done(store, _model(store, user, f"Model {number % 977}"), "train", jobs_each)
            empty = _dataset(store, user, "not uploaded yet")
            model = _model(store, user, "waits", train_datasets=[empty.id])
            store.jobs.add([_job(model, "train", State.WAITING) for _ in range(waiting)])
            store.jobs.add([_job(model, "train", State.QUEUED) for _ in range(queued)])
    finally:
        store.close()
    return user


def _dataset(store: Store, user: UserRecord, name: str) -> DatasetRecord:
    now = iso(store.datasets._clock.time())
    return store.datasets.add(
        DatasetRecord(new_id(), user.id, name, "My TAO Dataset", "", "1.0.0", KIND, NETWORK, now, now)
    )


def _model(store: Store, user: UserRecord, name: str, train_datasets: list[str] | None = None) -> ModelRecord:
    now = iso(store.models._clock.time())
    record = ModelRecord(new_id(), user.id, NETWORK, name, "My TAO Model", "", "1.0.0", now, now, KIND)
    return store.models.add(msgspec.structs.replace(record, train_datasets=train_datasets or []))


def _job(owner: DatasetRecord | ModelRecord, action: str, state: State) -> NewJob:
    kind: OwnerKind = "dataset" if isinstance(owner, DatasetRecord) else "model"
    network = KIND if kind == "dataset" else NETWORK
    assert owner.user_id is not None
    return NewJob(new_id(), owner.user_id, kind, owner.id, network, action, None, state, POSTED, spec=_SPEC)


def _done(store: Store, owner: DatasetRecord | ModelRecord, action: str, count: int) -> None:
    for job in store.jobs.add([_job(owner, action, State.DONE) for _ in range(count)]):
        store.jobs.save_result(job.id, RESULT, metric_value=0.97)
