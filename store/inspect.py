"""Reads damage, jobs, datasets and leases of a database file without changing it. A daemon may have it open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from store.migrations import SET, STEPS, TABLE
from store.notifications import SUMMARIES, read_summary
from store.records import TargetSummary
from taod.types.state import ON_DEVICE, State


class Inspection(msgspec.Struct, frozen=True):
    damage: list[str] = []
    """SQLite's messages about the file; empty if it is undamaged."""
    newer: list[str] = []
    """Applied migrations that this version does not know."""
    jobs: dict[str, State] = {}
    datasets: frozenset[str] = frozenset()
    stray_leases: list[str] = []
    """Devices leased by a job whose state is not on a device."""

    def on_device(self, job_id: str) -> bool:
        return job_id in self.jobs and self.jobs[job_id] in ON_DEVICE


def inspect(path: Path) -> Inspection:
    """Inspect the file; an unreadable one is reported as damage."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)) as database:
            damage = [row[0] for row in database.execute("PRAGMA quick_check") if row[0] != "ok"]
            damage += [f"a row of {row[0]} refers to none of {row[2]}" for row in _dangling_references(database)]
            steps = [row[0] for row in database.execute(f"SELECT name FROM {TABLE} WHERE migration_set = ?", [SET])]
            states = {row[0]: State(row[1]) for row in database.execute("SELECT id, state FROM jobs")}
            datasets = frozenset(row[0] for row in database.execute("SELECT id FROM datasets"))
            leases = [*database.execute("SELECT device_id, job_id FROM leases")]
    except (sqlite3.Error, ValueError) as error:
        return Inspection(damage=[str(error)])
    stray = [device for device, job_id in leases if states.get(job_id) not in ON_DEVICE]
    return Inspection(damage, [name for name in steps if name not in STEPS], states, datasets, stray)


def deliveries(path: Path) -> dict[str, TargetSummary]:
    """Name of each target of notifications → how its deliveries went; empty for an unreadable or older file."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)) as database:
            return dict(map(read_summary, database.execute(SUMMARIES)))
    except sqlite3.Error:
        return {}


def _dangling_references(database: sqlite3.Connection) -> list[tuple[str, int, str]]:
    return database.execute("PRAGMA foreign_key_check").fetchmany(5)
