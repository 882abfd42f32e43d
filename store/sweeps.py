"""Sweeps and their trials: everything that a search is rebuilt from after a restart."""

from __future__ import annotations

from store.columns import Columns, assign, insert, with_reason
from store.database import Database
from store.records import SweepRecord, TrialRecord
from taod.errors import NotFound

_SWEEP = Columns(SweepRecord, fixed=("job_id", "seed", "space", "settings"))
_TRIAL = Columns(TrialRecord, fixed=("sweep_id", "number"))


class Sweeps:
    """The rows of sweeps and trials."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, sweep: SweepRecord) -> SweepRecord:
        """Keep a new sweep. Raises Conflict where its job is not there."""
        values = _SWEEP.pack(sweep)
        with self._db.transaction():
            self._db.write(insert("sweeps", values), [*values.values()])
        return sweep

    def get(self, job_id: str) -> SweepRecord | None:
        """The sweep of this job; None where the job is not a sweep's."""
        row = self._db.row(f"SELECT {_SWEEP.select('sweeps')} FROM sweeps WHERE job_id = ?", [job_id])
        return None if row is None else _SWEEP.read(row)

    def update(self, job_id: str, **fields: object) -> SweepRecord:
        """Write these fields. Raises TypeError for a wrong name, NotFound for a wrong id."""
        values = _SWEEP.changes(fields)
        with self._db.transaction():
            self._db.write(f"UPDATE sweeps SET {assign(values)} WHERE job_id = ?", [*values.values(), job_id])
            found = self.get(job_id)
        if found is None:
            raise NotFound(f"job {job_id} is no sweep")
        return found

    def add_trial(self, trial: TrialRecord) -> TrialRecord:
        """Keep a new trial. Raises Conflict where its number is taken."""
        values = _TRIAL.pack(trial)
        with self._db.transaction():
            self._db.write(insert("trials", values), [*values.values()])
        return trial

    def trials(self, sweep_id: str) -> list[TrialRecord]:
        """The trials of a sweep by number."""
        sql = f"SELECT {_TRIAL.select('trials')} FROM trials WHERE sweep_id = ? ORDER BY number"
        return [_TRIAL.read(row) for row in self._db.rows(sql, [sweep_id])]

    def trial_of(self, job_id: str) -> TrialRecord | None:
        """The trial whose job this is."""
        row = self._db.row(f"SELECT {_TRIAL.select('trials')} FROM trials WHERE job_id = ?", [job_id])
        return None if row is None else _TRIAL.read(row)

    def update_trial(self, sweep_id: str, number: int, **fields: object) -> None:
        """Write these fields of a trial. Raises TypeError for a wrong name."""
        values = _TRIAL.changes(with_reason(fields))
        sql = f"UPDATE trials SET {assign(values)} WHERE sweep_id = ? AND number = ?"
        with self._db.transaction():
            self._db.write(sql, [*values.values(), sweep_id, number])
