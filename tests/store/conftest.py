"""A clock that only moves when advanced, an empty store, and a factory of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from store import Store
from store.records import DatasetRecord, JobRecord, ModelRecord, NewJob, UserRecord
from taod.clock import iso
from taod.ids import new_id
from taod.types.reason import Reason, ReasonCode
from taod.types.state import State

REASON = Reason(ReasonCode.RECORDED, {"text": "because"})


class FakeClock:
    """Starts at noon of some day."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float = 1.0) -> str:
        """Advance; returns the new time as records have it."""
        self.now += seconds
        return iso(self.now)


@dataclass
class Maker:
    """Rows with everything set that a test does not care about."""

    store: Store
    clock: FakeClock

    def user(self, name: str = "ada") -> UserRecord:
        return self.store.users.by_name(name) or self.store.users.add(name)

    def dataset(self, name: str = "digits", **fields: Any) -> DatasetRecord:
        at = self.clock.advance()
        values = {"user_id": self.user().id, "type": "image_classification", "format": "custom", **fields}
        return self.store.datasets.add(
            DatasetRecord(
                id=new_id(), name=name, description="", logo="", version="1", created_on=at, last_modified=at, **values
            )
        )

    def model(self, name: str = "mine", **fields: Any) -> ModelRecord:
        at = self.clock.advance()
        values = {"user_id": self.user().id, "network_arch": "dino", "dataset_type": "object_detection", **fields}
        return self.store.models.add(
            ModelRecord(
                id=new_id(), name=name, description="", logo="", version="1", created_on=at, last_modified=at, **values
            )
        )

    def ptm(self, name: str = "resnet", **fields: Any) -> ModelRecord:
        return self.model(name, user_id=None, public=True, read_only=True, ngc_path=f"nvidia/tao/{name}", **fields)

    def new_job(self, owner: ModelRecord | DatasetRecord, **fields: Any) -> NewJob:
        values: dict[str, Any] = {
            "action": "train",
            "parent_id": None,
            "state": State.QUEUED,
            "reason": Reason(ReasonCode.QUEUED),
        }
        return NewJob(
            id=new_id(),
            user_id=owner.user_id or self.user().id,
            owner_kind="model" if isinstance(owner, ModelRecord) else "dataset",
            owner_id=owner.id,
            network=owner.network_arch if isinstance(owner, ModelRecord) else owner.type,
            **{**values, **fields},
        )

    def job(self, owner: ModelRecord | DatasetRecord | None = None, **fields: Any) -> JobRecord:
        self.clock.advance()
        return self.store.jobs.add([self.new_job(owner or self.model(), **fields)])[0]

    def job_in(self, state: State, owner: ModelRecord | None = None) -> JobRecord:
        """A job that went the usual way to this state; on its way it leased a slot named after itself."""
        job = self.job(owner)
        for step in _WAY[state]:
            self.clock.advance()
            if step is State.LEASED:
                self.store.jobs.lease(job.id, [(f"gpu of {job.id}", 0)], REASON)
            else:
                self.store.jobs.transition(job.id, step, REASON)
        found = self.store.jobs.get(job.id)
        assert found is not None and found.state is state
        return found


_ON_DEVICE = [State.LEASED, State.STARTING, State.RUNNING]
_WAY: dict[State, list[State]] = {
    State.QUEUED: [],
    State.WAITING: [State.WAITING],
    State.HELD: [State.HELD],
    State.LEASED: _ON_DEVICE[:1],
    State.STARTING: _ON_DEVICE[:2],
    State.RUNNING: _ON_DEVICE,
    State.STOPPING: [*_ON_DEVICE, State.STOPPING],
    State.PAUSED: [*_ON_DEVICE, State.STOPPING, State.PAUSED],
    State.DONE: [*_ON_DEVICE, State.DONE],
    State.FAILED: [*_ON_DEVICE, State.FAILED],
    State.CANCELLED: [State.CANCELLED],
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    store = Store.open(tmp_path / "taod.db", clock=clock)
    yield store
    store.close()


@pytest.fixture
def make(store: Store, clock: FakeClock) -> Maker:
    return Maker(store, clock)
