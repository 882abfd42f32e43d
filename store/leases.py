"""The repository of leases: which job holds which slot of which device."""

from __future__ import annotations

from collections.abc import Iterable

from store.columns import Columns
from store.database import Database
from store.records import LeaseRecord
from taod.errors import Conflict

_COLUMNS = Columns(LeaseRecord)
_SELECT = f"SELECT {_COLUMNS.select('leases')} FROM leases"


class LeaseTaken(Conflict):
    """Another job holds the slot."""


class Leases:
    """The rows of leases. `Jobs.lease` creates them; `Jobs.transition` deletes them when a job leaves its devices."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self) -> list[LeaseRecord]:
        """All leases, sorted by device and slot."""
        return [_COLUMNS.read(row) for row in self._db.rows(f"{_SELECT} ORDER BY device_id, slot")]

    def for_job(self, job_id: str) -> list[LeaseRecord]:
        """The job's leases, sorted by device and slot."""
        sql = f"{_SELECT} WHERE job_id = ? ORDER BY device_id, slot"
        return [_COLUMNS.read(row) for row in self._db.rows(sql, [job_id])]


def take(database: Database, job_id: str, slots: Iterable[tuple[str, int]], since: str) -> None:
    """Insert the job's leases; call it inside a transaction. Raises LeaseTaken naming the holder."""
    for device_id, slot in slots:
        holder = database.row("SELECT job_id FROM leases WHERE device_id = ? AND slot = ?", [device_id, slot])
        if holder is not None:
            raise LeaseTaken(f"slot {slot} of device {device_id} is leased by job {holder[0]}")
        database.write(
            "INSERT INTO leases (device_id, slot, job_id, since) VALUES (?, ?, ?, ?)", [device_id, slot, job_id, since]
        )


def release(database: Database, job_id: str) -> None:
    """Delete the job's leases; call it inside a transaction."""
    database.write("DELETE FROM leases WHERE job_id = ?", [job_id])
