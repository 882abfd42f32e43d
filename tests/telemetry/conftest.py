"""A store in memory with one user and jobs, and a job's folder on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from store import Store
from store.records import DatasetRecord, JobRecord, NewJob
from taod.clock import SystemClock, iso
from taod.ids import new_id
from taod.paths import JobFolder
from taod.types.reason import POSTED
from taod.types.state import State


@dataclass
class Bench:
    """One user's jobs, each with a folder."""

    root: Path
    store: Store = field(default_factory=lambda: Store.open(None))

    def __post_init__(self) -> None:
        self.user = self.store.users.add("ada")
        at = iso(SystemClock().time())
        self.dataset = DatasetRecord(
            id=new_id(),
            user_id=self.user.id,
            name="digits",
            description="",
            logo="",
            version="1",
            type="image_classification",
            format="custom",
            created_on=at,
            last_modified=at,
        )
        self.store.datasets.add(self.dataset)

    def job(self, *, metric: str | None = None, attempt: int = 1, network: str = "dino") -> JobRecord:
        new = NewJob(
            id=new_id(),
            user_id=self.user.id,
            owner_kind="dataset",
            owner_id=self.dataset.id,
            network=network,
            action="train",
            parent_id=None,
            state=State.QUEUED,
            reason=POSTED,
            metric=metric,
        )
        self.store.jobs.add([new])
        return self.store.jobs.update(new.id, attempt=attempt)

    def folder(self, job: JobRecord) -> JobFolder:
        folder = JobFolder(self.root / job.id)
        folder.results.mkdir(parents=True, exist_ok=True)
        return folder


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.store.close()
