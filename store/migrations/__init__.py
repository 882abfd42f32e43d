"""The migrations of the schema: each is applied once, in order, and never changed after a release."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from store.database import Database
from store.migrations import (
    boxes_per_image,
    cluster_runs,
    device_faults,
    first_schema,
    job_kinds,
    lists_from_indices,
    notifications,
    queue_limits,
    reasons_as_data,
    releases,
    run_use,
    run_watch,
    sweeps,
    token_use,
    trackers,
    uploads,
    visibility,
    warnings_as_data,
)
from taod.errors import ConfigError

if TYPE_CHECKING:
    import sqlite_utils

SET = "taod"
TABLE = "_sqlite_migrations"
"""The table in which sqlite-utils records the applied migrations."""

Step = Callable[["sqlite_utils.Database"], None]


def _script(statements: str) -> Step:
    return lambda db: _run(db, statements)


STEPS: Mapping[str, Step] = {
    "first_schema": _script(first_schema.SCRIPT),
    "lists_from_indices": _script(lists_from_indices.SCRIPT),
    "visibility": _script(visibility.SCRIPT),
    "queue_limits": _script(queue_limits.SCRIPT),
    "run_watch": _script(run_watch.SCRIPT),
    "cluster_runs": _script(cluster_runs.SCRIPT),
    "uploads": _script(uploads.SCRIPT),
    "sweeps": _script(sweeps.SCRIPT),
    "warnings_as_data": warnings_as_data.step,
    "boxes_per_image": _script(boxes_per_image.SCRIPT),
    "reasons_as_data": _script(reasons_as_data.SCRIPT),
    "job_kinds": _script(job_kinds.SCRIPT),
    "releases": _script(releases.SCRIPT),
    "device_faults": device_faults.step,
    "token_use": _script(token_use.SCRIPT),
    "notifications": _script(notifications.SCRIPT),
    "trackers": _script(trackers.SCRIPT),
    "run_use": _script(run_use.SCRIPT),
}
"""Recorded name → migration; one module each, new ones last."""


def migrate(database: Database, steps: Mapping[str, Step] = STEPS) -> None:
    """Upgrade an older file to this version in one transaction; two processes may call it at once.

    Raises ConfigError if the file was written by a newer taod.
    """
    known = list(steps)
    with database.transaction():
        applied = _applied(database)
        if unknown := [name for name in applied if name not in known]:
            raise ConfigError(
                f"the root's database has version {len(applied)} (with {', '.join(unknown)}), this taod knows "
                f"version {len(known)}: install the newer taod that wrote it, or serve another root (--root)"
            )
        if len(applied) < len(known):
            _apply(database, steps)
            database.write(f"PRAGMA user_version = {len(known)}")


def _applied(database: Database) -> list[str]:
    if not database.number("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", [TABLE]):
        return []
    rows = database.rows(f"SELECT name FROM {TABLE} WHERE migration_set = ? ORDER BY rowid", [SET])
    return [row[0] for row in rows]


def _apply(database: Database, steps: Mapping[str, Step]) -> None:
    # Imported here: sqlite-utils imports numpy if it is installed, which takes a quarter of a second.
    import sqlite_utils
    from sqlite_utils.migrations import Migrations

    migrations = Migrations(SET)
    for name, step in steps.items():
        migrations(name=name)(step)
    migrations.apply(sqlite_utils.Database(database.connection, recursive_triggers=False, execute_plugins=False))


def _run(db: sqlite_utils.Database, script: str) -> None:
    """Run statements separated by blank lines; `executescript` would commit the open transaction."""
    for statement in script.split("\n\n"):
        db.execute(statement)
