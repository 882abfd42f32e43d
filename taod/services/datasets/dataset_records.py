"""Finds stored datasets and their files on behalf of a user."""

from __future__ import annotations

from pathlib import Path

from store import Store
from store.records import DatasetRecord
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
