"""Stored datasets of a user with their files, and the uploads that are running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store import Store
from store.records import DatasetRecord
from taod.errors import Conflict
from taod.paths import Root
from taod.services.resources import find


class DatasetRecords:
    """Datasets by id; a user sees only their own."""

    def __init__(self, store: Store, root: Root) -> None:
        self._store = store
        self._root = root

    def get(self, user_id: str, dataset_id: str) -> DatasetRecord:
        """The stored dataset. Raises NotFound."""
        return find(self._store.datasets, "dataset", user_id, dataset_id)

    def folder(self, record: DatasetRecord) -> Path:
        """The folder of its files: below the root, or the linked one."""
        return Path(record.path) if record.state == "linked" and record.path else self._root.dataset(record.id)


class Uploads:
    """The running uploads by dataset; kept in memory, so that a crash leaves no dataset marked."""

    def __init__(self) -> None:
        self._under_way: set[str] = set()

    def __contains__(self, dataset_id: str) -> bool:
        return dataset_id in self._under_way

    @contextmanager
    def claim(self, dataset_id: str) -> Iterator[None]:
        """Claim the dataset for one upload. Raises Conflict while it is claimed."""
        if dataset_id in self._under_way:
            raise Conflict(f"dataset {dataset_id} is being uploaded right now; wait until that upload has ended")
        self._under_way.add(dataset_id)
        try:
            yield
        finally:
            self._under_way.discard(dataset_id)
