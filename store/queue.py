"""The queries of a scheduling pass: waiting jobs in queue order, without rows that cannot affect a decision.

Thousands of jobs may wait. A scheduling pass reads those at the front of each line, and others only if something
about them has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from store.columns import Columns
from store.database import Database
from store.records import HolderRecord, PauseRecord, PendingJob
from taod.clock import Clock, iso
from taod.types.reason import STOPPED_PARENT, Reason, ReasonCode
from taod.types.state import State

_COLUMNS = Columns(PendingJob)
_SELECT = f"SELECT {_COLUMNS.select('jobs')} FROM"
# States are literals instead of parameters: SQLite uses a partial index only then. INDEXED BY names it, because SQLite
# would choose the general index of states and read each row.
_IS_QUEUED = f"jobs.state = '{State.QUEUED}' AND jobs.site = ''"
_IN_LINE = f"jobs INDEXED BY jobs_in_line WHERE {_IS_QUEUED}"
_ON_CLUSTERS = f"jobs INDEXED BY jobs_on_clusters WHERE jobs.state = '{State.QUEUED}' AND jobs.site <> ''"
EVERY_LINE = (_IN_LINE, _ON_CLUSTERS)
"""FROM and WHERE clauses that together cover all queued jobs."""
_WAITING = f"jobs INDEXED BY jobs_waiting WHERE jobs.state = '{State.WAITING}'"
_LINE = "priority, user_id, owner_kind"
_PLACE = "place, created_on, id"
_ORDER = f"priority DESC, {_PLACE}"
_BELOW_ALL = -(2**63)
TURN = ReasonCode.TURN
"""The reason of most queued jobs; a scheduling pass does not read jobs again that have it."""
GROWTH, MOST_AT_ONCE = 8, 256
"""First size and growth factor, and maximum, of the batches in which a line is read: of most lines only the front
matters."""
STEP = 1_000
"""Distance of a job that is moved before the first or behind the last position of a line, in nanoseconds."""


class Queue:
    """Jobs in QUEUED and WAITING, and the pause of the queue."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    def fronts(self) -> list[PendingJob]:
        """The first job of each line; a line is the queued jobs of one user, priority and kind of owner."""
        # One indexed query per line skips the other jobs; with a recursive query SQLite would compare row by row.
        sql = f"{_SELECT} {_IN_LINE} AND ({_LINE}) > (?, ?, ?) ORDER BY {_LINE}, {_PLACE} LIMIT 1"
        found: list[PendingJob] = []
        while row := self._db.row(sql, _line(found[-1]) if found else [_BELOW_ALL, "", ""]):
            found.append(_COLUMNS.read(row))
        return found

    def behind(self, job: PendingJob) -> Iterator[PendingJob]:
        """The jobs behind a queued job in its line, in order; read lazily in growing batches."""
        sql = f"""{_SELECT} {_IN_LINE} AND priority = ? AND user_id = ? AND owner_kind = ?
            AND ({_PLACE}) > (?, ?, ?) ORDER BY {_PLACE} LIMIT ?"""
        size = GROWTH
        while found := self._read(sql, [*_line(job), job.place, job.created_on, job.id, size]):
            yield from found
            job = found[-1]
            size = min(size * GROWTH, MOST_AT_ONCE)

    def to_explain(self, most: Mapping[str, int]) -> list[PendingJob]:
        """Queued jobs with another reason than TURN, and those that want more devices than `most` allows for their
        kind of owner."""
        wants = " ".join(
            f"UNION SELECT rowid FROM jobs INDEXED BY jobs_that_want WHERE {_IS_QUEUED} AND owner_kind = ? "
            "AND devices_wanted > ?"
            for _ in most
        )
        one = f"SELECT rowid FROM jobs INDEXED BY jobs_by_reason WHERE {_IS_QUEUED} AND reason_code"
        sql = f"{_SELECT} jobs WHERE rowid IN ({one} < '{TURN}' UNION {one} > '{TURN}' {wants})"
        return self._read(sql, [value for pair in most.items() for value in pair])

    def holders(self) -> list[HolderRecord]:
        """The jobs that hold leases."""
        sql = "SELECT id, user_id, network, action, started_at FROM jobs WHERE id IN (SELECT job_id FROM leases)"
        return [HolderRecord(*row) for row in self._db.rows(sql)]

    def served(self, user_ids: Iterable[str]) -> dict[str, str]:
        """User id → time of the last start of one of their jobs; users without a start are omitted.

        Starts in the future (the clock was set back) do not count: until then, their user would be behind all others.
        """
        sql = "SELECT max(started_at) FROM jobs WHERE user_id = ? AND started_at <= ?"
        now = iso(self._clock.time())
        found = {user_id: self._db.row(sql, [user_id, now]) for user_id in set(user_ids)}
        return {user_id: row[0] for user_id, row in found.items() if row is not None and row[0] is not None}

    def pending_of(self, user_id: str) -> int:
        """The number of a user's jobs that have not started."""
        states = f"('{State.WAITING}', '{State.QUEUED}', '{State.HELD}')"
        sql = f"SELECT coalesce(sum(number), 0) FROM job_counts WHERE user_id = ? AND state IN {states}"
        return self._db.number(sql, [user_id])

    def pause(self, by: str, reason: str) -> None:
        """Pause the queue; an existing pause gets the new user and reason."""
        sql = """INSERT INTO queue_pause (id, by, reason, since) VALUES (1, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET by = excluded.by, reason = excluded.reason"""
        with self._db.transaction():
            self._db.write(sql, [by, reason, iso(self._clock.time())])

    def resume(self) -> None:
        """Remove the pause."""
        with self._db.transaction():
            self._db.write("DELETE FROM queue_pause")

    def paused(self) -> PauseRecord | None:
        """The pause of the queue, if it is paused."""
        row = self._db.row("SELECT by, reason, since FROM queue_pause")
        return None if row is None else PauseRecord(*row)

    def move(self, job_id: str, *, before: str | None = None, after: str | None = None) -> int:
        """Returns the position right before or after another job of the same user and priority (`""`: all of them).

        If the positions leave no gap, renumbers the jobs in front. The caller writes the position with `Jobs.update`.
        """
        job = self.named([job_id])[job_id]
        line_up = f"{_ON_CLUSTERS} AND site = ?" if job.site else f"{_IN_LINE} AND ? = ''"
        sql = f"SELECT place, id FROM {line_up} AND priority = ? AND user_id = ? AND id <> ? ORDER BY {_PLACE}"
        line = self._db.rows(sql, [job.site, job.priority, job.user_id, job_id])
        target = before if before is not None else after
        at = len(line) if after == "" else next((n for n, (_, each) in enumerate(line) if each == target), 0)
        at += 1 if after else 0
        if at == len(line):
            return int(line[-1][0]) + STEP if line else job.place
        place = int(line[at][0]) - (1 if at else STEP)
        if at and line[at - 1][0] < place:
            return int(line[at - 1][0] + line[at][0]) // 2
        with self._db.transaction():
            free = place - 1
            for taken, each in reversed(line[:at]):
                if taken <= free:
                    break
                self._db.write("UPDATE jobs SET place = ? WHERE id = ?", [free, each])
                free -= 1
        return place

    def queued_for_cluster(self, site: str, count: int) -> list[PendingJob]:
        """The first `count` jobs queued for a cluster, and all others with another reason than TURN."""
        sql = f"""{_SELECT} jobs WHERE id IN (
                SELECT id FROM (SELECT id FROM {_ON_CLUSTERS} AND site = ? ORDER BY {_ORDER} LIMIT ?)
                UNION ALL SELECT id FROM {_ON_CLUSTERS} AND site = ? AND reason_code <> '{TURN}'
            ) ORDER BY {_ORDER}"""
        return self._read(sql, [site, count, site])

    def waiting_owners(self) -> list[PendingJob]:
        """One WAITING job without a parent per owner."""
        one = f"SELECT min(rowid) FROM {_WAITING} AND parent_id IS NULL GROUP BY owner_id"
        return self._read(f"{_SELECT} jobs WHERE rowid IN ({one}) ORDER BY created_on, id", [])

    def waiting_of(self, owner_id: str, reason: Reason | None, most: int) -> list[PendingJob]:
        """An owner's first `most` WAITING jobs without a parent, except those that have this reason already."""
        sql = f"{_SELECT} {_WAITING} AND parent_id IS NULL AND owner_id = ?"
        parameters: list[object] = [owner_id]
        if reason is not None:
            sql += " AND (reason_code, reason_args) <> (?, ?)"
            parameters += [str(reason.code), msgspec.json.encode(reason.arguments).decode()]
        return self._read(f"{sql} ORDER BY created_on, id LIMIT ?", [*parameters, most])

    def waiting_for_parents(self) -> list[PendingJob]:
        """WAITING jobs whose parent has ended, or whose reason does not match the parent's state."""
        over = ", ".join(f"'{state}'" for state in State if state.ended)
        stopped = ", ".join(f"'{state}'" for state in STOPPED_PARENT)
        sql = f"""{_SELECT} jobs INDEXED BY jobs_waiting
            CROSS JOIN jobs AS parent INDEXED BY jobs_in_state ON parent.id = jobs.parent_id
            WHERE jobs.state = '{State.WAITING}' AND (
                parent.state IN ({over}) OR jobs.reason_code <> '{ReasonCode.PARENT}'
                OR json_extract(jobs.reason_args, '$.state') IS NOT
                    CASE WHEN parent.state IN ({stopped}) THEN parent.state END
            ) ORDER BY jobs.created_on, jobs.id"""
        return self._read(sql, [])

    def named(self, job_ids: Iterable[str]) -> dict[str, PendingJob]:
        """Id → job in any state, for the ids that exist."""
        sql = f"{_SELECT} jobs WHERE id IN (SELECT value FROM json_each(?))"
        return {job.id: job for job in self._read(sql, [msgspec.json.encode(list(job_ids)).decode()])}

    def _read(self, sql: str, parameters: list[object]) -> list[PendingJob]:
        return [_COLUMNS.read(row) for row in self._db.rows(sql, parameters)]


def _line(job: PendingJob) -> list[object]:
    return [job.priority, job.user_id, job.owner_kind]
