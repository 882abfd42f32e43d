"""Datasets by id with their folders, and the running uploads."""

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
        """The folder of its files: in the root, or the linked one."""
        return Path(record.path) if record.state == "linked" and record.path else self._root.dataset(record.id)


class Uploads:
    """The datasets with a running upload; in memory, so that a crash leaves no dataset claimed."""

    def __init__(self) -> None:
        self._claimed: set[str] = set()

    def __contains__(self, dataset_id: str) -> bool:
        return dataset_id in self._claimed

    @contextmanager
    def claim(self, dataset_id: str) -> Iterator[None]:
        """Claim the dataset for one upload while the block runs. Raises Conflict if it is claimed."""
        if dataset_id in self._claimed:
            raise Conflict(f"dataset {dataset_id} is being uploaded right now; wait until that upload has ended")
        self._claimed.add(dataset_id)
        try:
            yield
        finally:
            self._claimed.discard(dataset_id)
