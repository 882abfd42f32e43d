"""What waits, read as the scheduler needs it: in the queue's order, and no more rows than can matter.

Thousands may wait while one run ends after the other; a look at the queue reads the few at its head, and those behind
them only where something about them has changed.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from store.columns import Columns
from store.database import Database
from store.records import PendingJob
from taod.types.state import State

_COLUMNS = Columns(PendingJob)
_SELECT = f"SELECT {_COLUMNS.select('jobs')} FROM"
_ORDER = "priority DESC, queued_at, created_on, id"
# The states stand in the text, not in parameters: SQLite takes a partial index only then. It is named, because SQLite
# would choose the general index of states, and look into each row.
_QUEUED = f"jobs INDEXED BY jobs_queued WHERE state = '{State.QUEUED}' AND site = ''"
_ELSEWHERE = f"jobs INDEXED BY jobs_elsewhere WHERE state = '{State.QUEUED}' AND site <> ''"
_WAITING = f"jobs INDEXED BY jobs_waiting WHERE jobs.state = '{State.WAITING}'"
_CPU_FIRST = "owner_kind = 'dataset' AND devices_wanted = 1"


class Queue:
    """The rows of jobs in QUEUED and WAITING."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def heads(self, count: int, *, most: int, told: str) -> list[PendingJob]:
        """The queue's order, without those that need no look now.

        In it are the first `count` of the single-device jobs of data sets and of all others, so that either kind of
        device finds who is next; jobs that want more than `most` devices; and those whose reason is not `told`, which
        is what jobs further back were told.
        """
        first = f"SELECT id FROM {_QUEUED} AND devices_wanted <= ? AND {{}} ORDER BY {_ORDER} LIMIT ?"
        sql = f"""{_SELECT} jobs WHERE id IN (
                SELECT id FROM ({first.format(_CPU_FIRST)})
                UNION ALL SELECT id FROM ({first.format(f"NOT ({_CPU_FIRST})")})
                UNION ALL SELECT id FROM {_QUEUED} AND (devices_wanted > ? OR reason <> ?)
            ) ORDER BY {_ORDER}"""
        return self._read(sql, [most, count, most, count, most, told])

    def elsewhere(self, site: str, count: int, *, told: str) -> list[PendingJob]:
        """The first `count` that are queued for a site, and those further back whose reason is not `told`."""
        sql = f"""{_SELECT} jobs WHERE id IN (
                SELECT id FROM (SELECT id FROM {_ELSEWHERE} AND site = ? ORDER BY {_ORDER} LIMIT ?)
                UNION ALL SELECT id FROM {_ELSEWHERE} AND site = ? AND reason <> ?
            ) ORDER BY {_ORDER}"""
        return self._read(sql, [site, count, site, told])

    def waiting_owners(self) -> list[PendingJob]:
        """One of the jobs that wait for no parent, of each owner that has such."""
        one = f"SELECT min(rowid) FROM {_WAITING} AND parent_id IS NULL GROUP BY owner_id"
        return self._read(f"{_SELECT} jobs WHERE rowid IN ({one}) ORDER BY created_on, id", [])

    def waiting_of(self, owner_id: str, told: str | None) -> list[PendingJob]:
        """An owner's jobs that wait for no parent; but those whose reason is `told`."""
        sql = f"{_SELECT} {_WAITING} AND parent_id IS NULL AND owner_id = ? AND reason IS NOT ?"
        return self._read(f"{sql} ORDER BY created_on, id", [owner_id, told])

    def waiting_for_parents(self, told: str, paused: str) -> list[PendingJob]:
        """The jobs that follow another one, where that has ended, or where they were told something else.

        `told` is how the sentence begins that names a parent, `paused` how it ends where the parent is paused.
        """
        over = ", ".join(f"'{state}'" for state in State if state.ended)
        sql = f"""{_SELECT} jobs INDEXED BY jobs_waiting
            CROSS JOIN jobs AS parent INDEXED BY jobs_in_state ON parent.id = jobs.parent_id
            WHERE jobs.state = '{State.WAITING}' AND (
                parent.state IN ({over}) OR substr(jobs.reason, 1, length(?1)) <> ?1
                OR (substr(jobs.reason, -length(?2)) = ?2) <> (parent.state = '{State.PAUSED}')
            ) ORDER BY jobs.created_on, jobs.id"""
        return self._read(sql, [told, paused])

    def named(self, job_ids: Iterable[str]) -> dict[str, PendingJob]:
        """The jobs of these ids, in whatever state, those that exist."""
        sql = f"{_SELECT} jobs WHERE id IN (SELECT value FROM json_each(?))"
        return {job.id: job for job in self._read(sql, [msgspec.json.encode(list(job_ids)).decode()])}

    def _read(self, sql: str, parameters: list[object]) -> list[PendingJob]:
        return [_COLUMNS.read(row) for row in self._db.rows(sql, parameters)]
