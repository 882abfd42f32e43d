"""The repository of datasets."""

from __future__ import annotations

import builtins
from collections.abc import Iterable

import msgspec

from store.columns import Columns
from store.database import Database
from store.owner import refresh_search
from store.page import ORDER, Where, limit
from store.records import DatasetRecord, ResourceFilter
from taod.clock import Clock, iso
from taod.errors import NotFound
from taod.types.common import Sort

_COLUMNS = Columns(DatasetRecord, fixed=("id", "user_id", "created_on", "last_modified"))
_SELECT = f"SELECT {_COLUMNS.select('datasets')} FROM datasets"


class Datasets:
    """The rows of datasets."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    def add(self, dataset: DatasetRecord) -> DatasetRecord:
        """Insert a dataset. Raises Conflict if the user does not exist or the id does."""
        values = {**_COLUMNS.pack(dataset), "name_key": dataset.name.casefold()}
        with self._db.transaction():
            self._db.insert("datasets", values)
        return dataset

    def get(self, user_id: str, dataset_id: str) -> DatasetRecord | None:
        """The dataset, if it belongs to this user."""
        row = self._db.row(f"{_SELECT} WHERE id = ? AND user_id = ?", [dataset_id, user_id])
        return None if row is None else _COLUMNS.read(row)

    def states(self, user_id: str, dataset_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Id → name and state of those of the datasets that are this user's."""
        sql = "SELECT id, name, state FROM datasets WHERE user_id = ? AND id IN (SELECT value FROM json_each(?))"
        rows = self._db.rows(sql, [user_id, msgspec.json.encode([*dataset_ids]).decode()])
        return {row[0]: (row[1], row[2]) for row in rows}

    def list(
        self,
        user_id: str,
        filter: ResourceFilter = ResourceFilter(),
        sort: Sort = Sort.DATE_DESCENDING,
        skip: int = 0,
        size: int | None = None,
    ) -> tuple[builtins.list[DatasetRecord], int]:
        """One page of the user's datasets, and the total number of matches.

        Datasets have neither `arch` nor `read_only`: `arch` is ignored, `read_only=True` matches none.
        """
        where = Where()
        where.add("user_id = ?", user_id)
        where.equal("type", filter.type)
        where.require_text("name_key", filter.name)
        if filter.read_only:
            where.add("FALSE")
        total = self._db.number(f"SELECT count(*) FROM datasets WHERE {where.sql}", where.parameters)
        if total <= skip:
            return [], total
        sql = f"{_SELECT} WHERE {where.sql} ORDER BY {ORDER[sort]} LIMIT ? OFFSET ?"
        rows = self._db.rows(sql, [*where.parameters, limit(size, total - skip), skip])
        return [_COLUMNS.read(row) for row in rows], total

    def update(self, dataset_id: str, **fields: object) -> DatasetRecord:
        """Write these fields and `last_modified`. Raises TypeError for an unknown field, NotFound for an unknown id."""
        values = {**_COLUMNS.changes(fields), "last_modified": iso(self._clock.time())}
        if "name" in fields:
            values["name_key"] = str(fields["name"]).casefold()
        with self._db.transaction():
            self._db.update("datasets", values, "id = ?", [dataset_id])
            if "name" in fields:
                refresh_search(self._db, "dataset_id", dataset_id)
            row = self._db.row(f"{_SELECT} WHERE id = ?", [dataset_id])
        if row is None:
            raise NotFound(f"there is no dataset {dataset_id}")
        return _COLUMNS.read(row)

    def delete(self, dataset_id: str) -> bool:
        """Delete a dataset with its specs and jobs. Returns whether it existed. Raises Conflict if a model uses it."""
        with self._db.transaction():
            return self._db.write("DELETE FROM datasets WHERE id = ?", [dataset_id]) > 0

    def users_of(self, dataset_id: str) -> builtins.list[tuple[str, str]]:
        """Id and name of each model that uses the dataset in any role, sorted by name."""
        sql = """
            SELECT id, name FROM models WHERE eval_dataset = ?1 OR inference_dataset = ?1 OR calibration_dataset = ?1
                OR id IN (SELECT model_id FROM model_train_datasets WHERE dataset_id = ?1)
            ORDER BY name, id"""
        return [(row[0], row[1]) for row in self._db.rows(sql, [dataset_id])]
