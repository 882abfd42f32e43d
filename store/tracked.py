"""The repository of what trackers of runs have: for each tracker and job, the last change that it has taken."""

from __future__ import annotations

import builtins

from store.database import Database
from taod.types.job import JobKind
from taod.types.state import ENDED, State

_COMPLETE = ", ".join(f"'{state}'" for state in sorted({*ENDED, State.PAUSED}))


class Tracked:
    """The rows of `tracked`. Only ended and paused jobs have one: what a tracker has of a running one may be less."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, tracker: str, job_id: str, seen: str) -> None:
        """Record that the tracker has all of the job as it was at its change `seen`, if the job still exists."""
        sql = """INSERT INTO tracked (tracker, job_id, seen) SELECT ?, id, ? FROM jobs WHERE id = ?
            ON CONFLICT (tracker, job_id) DO UPDATE SET seen = excluded.seen"""
        with self._db.transaction():
            self._db.write(sql, [tracker, seen, job_id])

    def forget(self, tracker: str) -> None:
        """Forget what the tracker has."""
        with self._db.transaction():
            self._db.write("DELETE FROM tracked WHERE tracker = ?", [tracker])

    def behind(self, tracker: str, after: tuple[str, str], most: int) -> builtins.list[tuple[str, str]]:
        """Change and id of at most `most` ended or paused jobs, changed after `after` (a change and an id), of which
        the tracker lacks something; the longest unchanged first."""
        sql = f"""SELECT jobs.last_modified, jobs.id FROM jobs
            LEFT JOIN tracked ON tracked.job_id = jobs.id AND tracked.tracker = ?
            WHERE jobs.state IN ({_COMPLETE}) AND (jobs.attempt > 0 OR jobs.kind = '{JobKind.SWEEP}')
            AND jobs.last_modified > coalesce(tracked.seen, '') AND (jobs.last_modified, jobs.id) > (?, ?)
            ORDER BY jobs.last_modified, jobs.id LIMIT ?"""
        return [(row[0], row[1]) for row in self._db.rows(sql, [tracker, *after, most])]
