"""The repository of models, including pretrained models, which are rows without a user."""

from __future__ import annotations

import builtins

from store.columns import Columns
from store.database import Database
from store.owner import refresh_search
from store.page import ORDER, Where, limit
from store.records import ModelRecord, ResourceFilter
from taod.clock import Clock, iso
from taod.errors import NotFound
from taod.types.common import Sort

_LINKS = {"ptm": ("model_ptms", "ptm_id"), "train_datasets": ("model_train_datasets", "dataset_id")}
"""Fields that list references → table and column of the links."""

_COLUMNS = Columns(
    ModelRecord,
    computed={
        field: f"(SELECT json_group_array({column}) FROM "
        f"(SELECT {column} FROM {table} WHERE model_id = models.id ORDER BY position))"
        for field, (table, column) in _LINKS.items()
    },
    fixed=("id", "user_id", "created_on", "last_modified"),
)
_SELECT = f"SELECT {_COLUMNS.select('models')} FROM models"
_PRETRAINED = "user_id IS NULL AND (public OR id IN (SELECT model_id FROM ptm_weights WHERE ptm_weights.user_id = ?))"
"""Pretrained models visible to a user: those of the catalogue, and those that the user registered."""


class Models:
    """The rows of models."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    def add(self, model: ModelRecord) -> ModelRecord:
        """Insert a model. Raises Conflict if a reference does not exist or the id does."""
        values = {**_COLUMNS.pack(model), "name_key": model.name.casefold()}
        with self._db.transaction():
            self._db.insert("models", values)
            for field in _LINKS:
                if linked := getattr(model, field):
                    self._link(model.id, field, linked)
        return model

    def get(self, user_id: str, model_id: str) -> ModelRecord | None:
        """The model, if the user may read it: their own, a public or a visible pretrained one."""
        sql = f"{_SELECT} WHERE id = ? AND (user_id = ? OR public OR {_PRETRAINED})"
        row = self._db.row(sql, [model_id, user_id, user_id])
        return None if row is None else _COLUMNS.read(row)

    def list(
        self,
        user_id: str,
        filter: ResourceFilter = ResourceFilter(),
        sort: Sort = Sort.DATE_DESCENDING,
        skip: int = 0,
        size: int | None = None,
    ) -> tuple[builtins.list[ModelRecord], int]:
        """One page of models that the user may read, pretrained ones last, and the total number of matches."""
        own, pretrained = _resource_conditions(filter), _resource_conditions(filter)
        own.add("user_id IS NOT NULL AND (user_id = ? OR public)", user_id)
        pretrained.add(_PRETRAINED, user_id)
        total = 0
        page: builtins.list[ModelRecord] = []
        for where in (own, pretrained):
            matching = self._db.number(f"SELECT count(*) FROM models WHERE {where.sql}", where.parameters)
            remaining = None if size is None else size - len(page)
            first = max(0, skip - total)
            if first < matching and remaining != 0:
                sql = f"{_SELECT} WHERE {where.sql} ORDER BY {ORDER[sort]} LIMIT ? OFFSET ?"
                rows = self._db.rows(sql, [*where.parameters, limit(remaining, matching - first), first])
                page.extend(_COLUMNS.read(row) for row in rows)
            total += matching
        return page, total

    def ptms(self, user_id: str, network_arch: str | None = None) -> builtins.list[ModelRecord]:
        """Pretrained models visible to the user, of one network or all, sorted by network and name."""
        where = Where()
        where.add(_PRETRAINED, user_id)
        where.equal("network_arch", network_arch)
        sql = f"{_SELECT} WHERE {where.sql} ORDER BY network_arch, name, id"
        return [_COLUMNS.read(row) for row in self._db.rows(sql, where.parameters)]

    def ptm_ids(self, *, public: bool) -> set[str]:
        """Ids of the pretrained models that are public, or of those that are not."""
        sql = "SELECT id FROM models WHERE user_id IS NULL AND public = ?"
        return {row[0] for row in self._db.rows(sql, [int(public)])}

    def weights(self, user_id: str) -> dict[str, str]:
        """Pretrained model id → path of the weights that this user registered."""
        return dict(self._db.rows("SELECT model_id, path FROM ptm_weights WHERE user_id = ?", [user_id]))

    def register_weights(self, user_id: str, model_id: str, path: str) -> None:
        """Set this user's path of a pretrained model's weights. Raises Conflict for an unknown id."""
        with self._db.transaction():
            self._db.write(
                """INSERT INTO ptm_weights (user_id, model_id, path) VALUES (?, ?, ?)
                ON CONFLICT (user_id, model_id) DO UPDATE SET path = excluded.path""",
                [user_id, model_id, path],
            )

    def update(self, model_id: str, **fields: object) -> ModelRecord:
        """Write these fields and `last_modified`.

        Raises TypeError for an unknown field, NotFound for an unknown id, Conflict if a reference does not exist.
        """
        links = {field: fields.pop(field) for field in _LINKS if field in fields}
        values = {**_COLUMNS.changes(fields), "last_modified": iso(self._clock.time())}
        if "name" in fields:
            values["name_key"] = str(fields["name"]).casefold()
        with self._db.transaction():
            if not self._db.update("models", values, "id = ?", [model_id]):
                raise NotFound(f"there is no model {model_id}")
            for field, ids in links.items():
                self._link(model_id, field, ids)
            if "name" in fields:
                refresh_search(self._db, "model_id", model_id)
            row = self._db.row(f"{_SELECT} WHERE id = ?", [model_id])
        assert row is not None
        return _COLUMNS.read(row)

    def delete(self, model_id: str) -> bool:
        """Delete a model with its specs and jobs. Returns whether it existed.

        Raises Conflict if another model starts from it.
        """
        with self._db.transaction():
            return self._db.write("DELETE FROM models WHERE id = ?", [model_id]) > 0

    def users_of_ptm(self, model_id: str) -> builtins.list[tuple[str, str]]:
        """Id and name of each model that starts from this one, sorted by name."""
        sql = """SELECT id, name FROM models WHERE id IN (SELECT model_id FROM model_ptms WHERE ptm_id = ?)
            ORDER BY name, id"""
        return [(row[0], row[1]) for row in self._db.rows(sql, [model_id])]

    def _link(self, model_id: str, field: str, ids: object) -> None:
        """Replace the links of one field."""
        if not isinstance(ids, list):
            raise TypeError(f"{field} is a list of ids, not {ids!r}")
        table, column = _LINKS[field]
        self._db.write(f"DELETE FROM {table} WHERE model_id = ?", [model_id])
        for position, linked in enumerate(ids):
            self._db.write(
                f"INSERT INTO {table} (model_id, position, {column}) VALUES (?, ?, ?)", [model_id, position, linked]
            )


def _resource_conditions(filter: ResourceFilter) -> Where:
    where = Where()
    where.equal("dataset_type", filter.type)
    where.equal("network_arch", filter.arch)
    where.equal("read_only", None if filter.read_only is None else int(filter.read_only))
    where.require_text("name_key", filter.name)
    return where
