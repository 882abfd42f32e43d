"""The repository of runs: one row per attempt of a job."""

from __future__ import annotations

from store.columns import Columns
from store.database import Database
from store.records import RunRecord
from taod.errors import NotFound
from taod.types.job import JobResources

_COLUMNS = Columns(RunRecord, fixed=("job_id", "attempt"))
_SELECT = f"SELECT {_COLUMNS.select('runs')} FROM runs"


class Runs:
    """The rows of runs."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, run: RunRecord) -> RunRecord:
        """Insert a run. Raises Conflict if the job does not exist or the attempt does."""
        with self._db.transaction():
            self._db.insert("runs", _COLUMNS.pack(run))
        return run

    def update(self, job_id: str, attempt: int, **fields: object) -> RunRecord:
        """Write these fields. Raises TypeError for an unknown field, NotFound for an unknown attempt."""
        values = _COLUMNS.changes(fields)
        with self._db.transaction():
            if values:
                self._db.update("runs", values, "job_id = ? AND attempt = ?", [job_id, attempt])
            run = self.get(job_id, attempt)
        if run is None:
            raise NotFound(f"job {job_id} has no attempt {attempt}")
        return run

    def get(self, job_id: str, attempt: int) -> RunRecord | None:
        row = self._db.row(f"{_SELECT} WHERE job_id = ? AND attempt = ?", [job_id, attempt])
        return None if row is None else _COLUMNS.read(row)

    def used(self, job_id: str) -> JobResources | None:
        """What all attempts of a job used, of a sweep all its trials; None if nothing was measured."""
        sql = """SELECT sum(energy_wh), max(energy_shared), max(peak_rss_bytes), max(peak_gpu_memory_bytes) FROM runs
            WHERE job_id IN (SELECT id FROM jobs WHERE id = ? OR sweep_id = ?)"""
        energy_wh, shared, rss, gpu = self._db.rows(sql, [job_id, job_id])[0]
        if energy_wh is None and rss is None and gpu is None:
            return None
        return JobResources(energy_wh, energy_wh is not None and bool(shared), rss, gpu)

    def latest(self, job_id: str) -> RunRecord | None:
        """The job's last attempt."""
        row = self._db.row(f"{_SELECT} WHERE job_id = ? ORDER BY attempt DESC LIMIT 1", [job_id])
        return None if row is None else _COLUMNS.read(row)
