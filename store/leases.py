"""Leases: which job holds which slot of which device."""

from __future__ import annotations

from collections.abc import Iterable

from store.columns import Columns
from store.database import Database
from store.records import LeaseRecord
from taod.errors import Conflict

_COLUMNS = Columns(LeaseRecord)
_SELECT = f"SELECT {_COLUMNS.select('leases')} FROM leases"


class LeaseTaken(Conflict):
    """The slot is another job's."""


class Leases:
    """The rows of leases. They are made by `jobs.lease` and end with the job's time on its devices."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self) -> list[LeaseRecord]:
        """Every lease, by device and slot."""
        return [_COLUMNS.read(row) for row in self._db.rows(f"{_SELECT} ORDER BY device_id, slot")]

    def of(self, job_id: str) -> list[LeaseRecord]:
        """The job's leases, by device and slot."""
        sql = f"{_SELECT} WHERE job_id = ? ORDER BY device_id, slot"
        return [_COLUMNS.read(row) for row in self._db.rows(sql, [job_id])]


def take(database: Database, job_id: str, slots: Iterable[tuple[str, int]], since: str) -> None:
    """Write the job's leases; to be called inside a transaction. Raises LeaseTaken naming the holder."""
    for device_id, slot in slots:
        held = database.row("SELECT job_id FROM leases WHERE device_id = ? AND slot = ?", [device_id, slot])
        if held is not None:
            raise LeaseTaken(f"slot {slot} of device {device_id} is leased by job {held[0]}")
        database.write(
            "INSERT INTO leases (device_id, slot, job_id, since) VALUES (?, ?, ?, ?)", [device_id, slot, job_id, since]
        )


def release(database: Database, job_id: str) -> None:
    """End the job's leases; to be called inside a transaction."""
    database.write("DELETE FROM leases WHERE job_id = ?", [job_id])
