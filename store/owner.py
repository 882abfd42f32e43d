"""The SQL for owners of jobs and specs, which are models or datasets: foreign key, name, search text."""

from __future__ import annotations

import typing

from store.database import Database
from taod.types.common import OwnerKind

OWNER_NAME = """coalesce((SELECT name FROM models WHERE id = jobs.model_id),
    (SELECT name FROM datasets WHERE id = jobs.dataset_id))"""
"""SQL expression for the name of a job's owner."""


def owner_column(owner_kind: OwnerKind) -> str:
    """The foreign key column for owners of this kind. Raises ValueError for an unknown kind."""
    if owner_kind not in typing.get_args(OwnerKind):
        raise ValueError(f"an owner is a model or a dataset, not {owner_kind!r}")
    return f"{owner_kind}_id"


def refresh_search(database: Database, column: str, value: str) -> None:
    """Update the search text of the jobs whose `column` has this value; call it inside a transaction."""
    row = database.row(f"SELECT {OWNER_NAME} FROM jobs WHERE {column} = ? LIMIT 1", [value])
    if row is not None and row[0] is not None:
        sql = (
            f"UPDATE jobs SET search_key = lower(id || ' ' || action || ' ' || network) || ' ' || ? WHERE {column} = ?"
        )
        database.write(sql, [row[0].casefold(), value])
