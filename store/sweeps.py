"""The repository of sweeps and trials, from which a restarted daemon rebuilds a search."""

from __future__ import annotations

from store.columns import Columns, with_reason
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
        """Insert a sweep. Raises Conflict if its job does not exist."""
        with self._db.transaction():
            self._db.insert("sweeps", _SWEEP.pack(sweep))
        return sweep

    def get(self, job_id: str) -> SweepRecord | None:
        """The sweep of this job; None if the job is not a sweep."""
        row = self._db.row(f"SELECT {_SWEEP.select('sweeps')} FROM sweeps WHERE job_id = ?", [job_id])
        return None if row is None else _SWEEP.read(row)

    def update(self, job_id: str, **fields: object) -> SweepRecord:
        """Write these fields. Raises TypeError for an unknown field, NotFound for an unknown id."""
        values = _SWEEP.changes(fields)
        with self._db.transaction():
            self._db.update("sweeps", values, "job_id = ?", [job_id])
            found = self.get(job_id)
        if found is None:
            raise NotFound(f"job {job_id} is no sweep")
        return found

    def add_trial(self, trial: TrialRecord) -> TrialRecord:
        """Insert a trial. Raises Conflict if its number is taken."""
        with self._db.transaction():
            self._db.insert("trials", _TRIAL.pack(trial))
        return trial

    def trials(self, sweep_id: str) -> list[TrialRecord]:
        """The trials of a sweep, sorted by number."""
        sql = f"SELECT {_TRIAL.select('trials')} FROM trials WHERE sweep_id = ? ORDER BY number"
        return [_TRIAL.read(row) for row in self._db.rows(sql, [sweep_id])]

    def trial_of(self, job_id: str) -> TrialRecord | None:
        """The trial whose job this is."""
        row = self._db.row(f"SELECT {_TRIAL.select('trials')} FROM trials WHERE job_id = ?", [job_id])
        return None if row is None else _TRIAL.read(row)

    def update_trial(self, sweep_id: str, number: int, **fields: object) -> None:
        """Write these fields of a trial. Raises TypeError for an unknown field."""
        values = _TRIAL.changes(with_reason(fields))
        with self._db.transaction():
            self._db.update("trials", values, "sweep_id = ? AND number = ?", [sweep_id, number])
