"""The repository of saved experiment specs: one document per action of a model or dataset."""

from __future__ import annotations

from typing import Any

import msgspec

from store.database import Database
from store.owner import owner_column
from taod.types.common import OwnerKind


class Specs:
    """The rows of specs."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def encoded(self, owner_kind: OwnerKind, owner_id: str) -> dict[str, str]:
        """Action → JSON text of all saved documents of an owner."""
        sql = f"SELECT action, document FROM specs WHERE {owner_column(owner_kind)} = ?"
        return dict(self._db.rows(sql, [owner_id]))

    def save(self, owner_kind: OwnerKind, owner_id: str, action: str, document: dict[str, Any]) -> None:
        """Insert or replace the document of an action. Raises Conflict if the owner does not exist."""
        column = owner_column(owner_kind)
        sql = f"""INSERT INTO specs ({column}, action, document) VALUES (?, ?, ?)
            ON CONFLICT ({column}, action) DO UPDATE SET document = excluded.document"""
        with self._db.transaction():
            self._db.write(sql, [owner_id, action, msgspec.json.encode(document).decode()])

    def get(self, owner_kind: OwnerKind, owner_id: str, action: str) -> dict[str, Any] | None:
        """The saved document, or None."""
        column = owner_column(owner_kind)
        row = self._db.row(f"SELECT document FROM specs WHERE {column} = ? AND action = ?", [owner_id, action])
        return None if row is None else msgspec.json.decode(row[0], type=dict[str, Any])

    def delete(self, owner_kind: OwnerKind, owner_id: str, action: str) -> None:
        """Delete the saved document, if any."""
        self._db.write(f"DELETE FROM specs WHERE {owner_column(owner_kind)} = ? AND action = ?", [owner_id, action])
