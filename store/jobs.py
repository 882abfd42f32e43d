"""Jobs: their rows, states with their history, and results."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from store import leases
from store.columns import Columns, assign, insert, with_reason
from store.database import Database
from store.owner import OWNER_NAME, owner_column, refresh_search
from store.page import ORDER, Where, limit
from store.queue import EVERY_LINE, STEP
from store.records import HistoryRecord, JobFilter, JobRecord, NewJob
from taod.clock import Clock, iso
from taod.errors import NotFound
from taod.types.common import JobSort, OwnerKind
from taod.types.job import Job, JobKind, Result
from taod.types.reason import Reason, ReasonCode
from taod.types.release import BASE
from taod.types.state import State, check_transition

_TRIALS = f"""CASE WHEN jobs.kind = '{JobKind.SWEEP}' THEN
    coalesce((SELECT max(number) + 1 FROM trials WHERE trials.sweep_id = jobs.id), 0) END"""
_COLUMNS = Columns(
    JobRecord,
    computed={"owner_name": OWNER_NAME, "trials": _TRIALS},
    fixed=("id", "user_id", "owner_kind", "owner_id", "network", "action", "state", "created_on", "last_modified"),
)
_SELECT = f"SELECT {_COLUMNS.select('jobs')} FROM jobs"
_PUBLIC = """SELECT jobs.id, jobs.action, jobs.parent_id, jobs.state, jobs.created_on,
    jobs.last_modified, CAST(coalesce(results.document, jobs.progress) AS BLOB)
    FROM jobs LEFT JOIN results ON results.job_id = jobs.id"""
"""What `_public` reads. All but the result lies in the index `jobs_of_owner`."""
_SHOWN = "jobs.owner_id = ? AND jobs.owner_kind = ? AND jobs.sweep_id IS NULL"
"""An owner shows its sweeps, and these show their trials."""
_PUBLIC_STATUS = {str(state): state.public for state in State}
_RESULT = msgspec.json.Decoder(Result)
_LONG = ("kpi", "graphical", "categorical")
_WAITS = (State.WAITING, State.QUEUED, State.HELD)
_NEVER_RAN = (State.LEASED, State.STARTING)


class Jobs:
    """Jobs and related rows."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock
        self._latest: int | None = None
        """The place given last; None where none was since the start."""

    def add(self, jobs: builtins.list[NewJob]) -> builtins.list[JobRecord]:
        """Keep new jobs, all or none. Their dates are a microsecond apart, so that a chain lists in its order.

        Raises Conflict where one refers to something that is not there.
        """
        with self._db.transaction():
            now_us = round(self._clock.time() * 1e6)
            for number, job in enumerate(jobs):
                # Counted in whole microseconds: two floats one microsecond apart may be written as the same date.
                self._insert(job, (now_us + number) / 1e6)
            return [self._must(job.id) for job in jobs]

    def _insert(self, job: NewJob, time_s: float) -> None:
        at = iso(time_s)
        fields = msgspec.structs.asdict(job)
        record = JobRecord(
            **with_reason(fields),
            owner_name="",
            created_on=at,
            last_modified=at,
            queued_at=at if job.state is State.QUEUED else None,
            place=self._place(time_s) if job.state is State.QUEUED else 0,
        )
        values = {**_COLUMNS.pack(record), owner_column(job.owner_kind): job.owner_id, "search_key": ""}
        self._db.write(insert("jobs", values), [*values.values()])
        refresh_search(self._db, "id", job.id)
        self._remember(job.id, at, job.state, job.reason)

    def _place(self, time_s: float) -> int:
        """Behind all that are queued, also where the clock was set back since one of them came."""
        place = _in_queue(time_s)
        if self._latest is None or place < self._latest:
            last = max(self._db.number(f"SELECT coalesce(max(place), 0) FROM {line}", []) for line in EVERY_LINE)
            if last > place:
                place = last + STEP
        self._latest = place
        return place

    def get(self, job_id: str) -> JobRecord | None:
        row = self._db.row(f"{_SELECT} WHERE id = ?", [job_id])
        return None if row is None else _COLUMNS.read(row)

    def owned(self, owner_kind: OwnerKind, owner_id: str, job_id: str) -> JobRecord | None:
        """The job of this id where it is this owner's."""
        sql = f"{_SELECT} WHERE id = ? AND {owner_column(owner_kind)} = ?"
        row = self._db.row(sql, [job_id, owner_id])
        return None if row is None else _COLUMNS.read(row)

    def list(
        self,
        filter: JobFilter = JobFilter(),
        sort: JobSort = JobSort.DATE_DESCENDING,
        skip: int = 0,
        size: int | None = None,
    ) -> tuple[builtins.list[JobRecord], int]:
        """One page of jobs, and how many match in all."""
        where = _where(filter)
        if _by_state_alone(msgspec.structs.replace(filter, trials=None)) and filter.trials is not True:
            total = sum(self.counts(filter).values())
        else:
            total = self._db.number(f"SELECT count(*) FROM jobs WHERE {where.sql}", where.parameters)
        if total <= skip:
            return [], total
        sql = f"{_SELECT} WHERE {where.sql} ORDER BY {ORDER[sort]} LIMIT ? OFFSET ?"
        rows = self._db.rows(sql, [*where.parameters, limit(size, total - skip), skip])
        return [_COLUMNS.read(row) for row in rows], total

    def counts(self, filter: JobFilter = JobFilter()) -> dict[State, int]:
        """How many jobs match in each state that has any."""
        where = _where(filter)
        if filter.trials is False and _by_state_alone(msgspec.structs.replace(filter, trials=None)):
            # The kept counts know no trials; these are few, and have an index of their own.
            every = self.counts(msgspec.structs.replace(filter, trials=None))
            trials = self.counts(msgspec.structs.replace(filter, trials=True))
            return {state: left for state, count in every.items() if (left := count - trials.get(state, 0))}
        if _by_state_alone(filter):
            sql = f"SELECT state, sum(number) FROM job_counts WHERE {where.sql} AND number > 0 GROUP BY state"
        else:
            sql = f"SELECT state, count(*) FROM jobs WHERE {where.sql} GROUP BY state"
        return {State(state): count for state, count in self._db.rows(sql, where.parameters)}

    def public(self, owner_kind: OwnerKind, owner_ids: builtins.list[str]) -> dict[str, builtins.list[Job]]:
        """Each owner's jobs as the contract has them, oldest first; an owner without jobs has an empty list."""
        # One query an owner: one for all of them would sort the jobs, and carry their results through the sorting.
        sql = f"{_PUBLIC} WHERE {_SHOWN} ORDER BY jobs.created_on, jobs.id"
        return {
            owner_id: [_public(row) for row in self._db.rows(sql, [owner_id, owner_kind])] for owner_id in owner_ids
        }

    def public_page(
        self,
        owner_kind: OwnerKind,
        owner_id: str,
        sort: JobSort = JobSort.DATE_DESCENDING,
        skip: int = 0,
        size: int | None = None,
    ) -> tuple[builtins.list[Job], int]:
        """One page of an owner's jobs as the contract has them, and how many there are in all."""
        total = self._db.number(f"SELECT count(*) FROM jobs WHERE {_SHOWN}", [owner_id, owner_kind])
        sql = f"{_PUBLIC} WHERE {_SHOWN} ORDER BY {ORDER[sort]} LIMIT ? OFFSET ?"
        rows = self._db.rows(sql, [owner_id, owner_kind, limit(size), skip])
        return [_public(row) for row in rows], total

    def newest(
        self, owner_kind: OwnerKind, owner_id: str, actions: Iterable[str], but: Iterable[State], release: str = BASE
    ) -> tuple[str, str] | None:
        """Id and action of the owner's newest job of these actions and this release, in none of the states of `but`."""
        wanted, states = list(actions), [str(state) for state in but]
        sql = f"""SELECT id, action FROM jobs WHERE {_SHOWN} AND action IN ({", ".join("?" * len(wanted))})
            AND state NOT IN ({", ".join("?" * len(states))}) AND release = ?
            ORDER BY created_on DESC, id DESC LIMIT 1"""
        row = self._db.row(sql, [owner_id, owner_kind, *wanted, *states, release])
        return None if row is None else (row[0], row[1])

    def in_states(self, states: Iterable[State]) -> builtins.list[JobRecord]:
        """Jobs in any of these states: higher priority, earlier place in the queue, made earlier."""
        names = [str(state) for state in states]
        sql = f"""{_SELECT} WHERE state IN ({", ".join("?" * len(names))})
            ORDER BY priority DESC, queued_at IS NULL, place, created_on, id"""
        return [_COLUMNS.read(row) for row in self._db.rows(sql, names)]

    def named(self, job_ids: Iterable[str]) -> dict[str, JobRecord]:
        """The jobs of these ids, those that exist."""
        sql = f"{_SELECT} WHERE id IN (SELECT value FROM json_each(?))"
        rows = self._db.rows(sql, [msgspec.json.encode(list(job_ids)).decode()])
        return {job.id: job for job in map(_COLUMNS.read, rows)}

    def ended_before(self, at: str) -> builtins.list[str]:
        """Ids of the jobs that have ended, and before this moment (ISO 8601, as the store writes it)."""
        over = ", ".join(f"'{state}'" for state in State if state.ended)
        return [row[0] for row in self._db.rows(f"SELECT id FROM jobs WHERE state IN ({over}) AND ended_at < ?", [at])]

    def to_retry(self) -> builtins.list[JobRecord]:
        """Jobs that wait for a retry, the next one first."""
        sql = f"{_SELECT} WHERE retry_at IS NOT NULL AND state = '{State.HELD}' ORDER BY retry_at"
        return [_COLUMNS.read(row) for row in self._db.rows(sql)]

    def children(self, job_id: str) -> builtins.list[JobRecord]:
        """Jobs whose parent this is, oldest first."""
        rows = self._db.rows(f"{_SELECT} WHERE parent_id = ? ORDER BY created_on, id", [job_id])
        return [_COLUMNS.read(row) for row in rows]

    def ids_of(self, owner_kind: OwnerKind, owner_id: str) -> builtins.list[str]:
        """The ids of all of an owner's jobs, trials included."""
        sql = "SELECT id FROM jobs WHERE owner_id = ? AND owner_kind = ? ORDER BY created_on, id"
        return [row[0] for row in self._db.rows(sql, [owner_id, owner_kind])]

    def trials_of(self, job_id: str) -> builtins.list[JobRecord]:
        """The jobs of a sweep's trials by number."""
        rows = self._db.rows(f"{_SELECT} WHERE sweep_id = ? ORDER BY trial, id", [job_id])
        return [_COLUMNS.read(row) for row in rows]

    def transition(self, job_id: str, new: State, reason: Reason, **fields: object) -> JobRecord:
        """Change the state, with the dates, leases and stop intent that follow from it, and remember it in the history.

        A job that goes back to the queue without having run keeps its place. `fields` are written too and win over
        what follows from the state. Raises ImpossibleTransition, NotFound, TypeError for a wrong name.
        """
        changes = _COLUMNS.changes(fields)
        with self._db.transaction():
            old = self._state(job_id)
            check_transition(job_id, old, new)
            time_s = self._clock.time()
            now = iso(time_s)
            follows = _follows(old, new, now)
            if "queued_at" in follows:
                follows["place"] = self._place(time_s)
            why = _COLUMNS.changes(with_reason({"reason": reason}))
            values = {"state": str(new), **why, "last_modified": now, **follows, **changes}
            self._db.write(f"UPDATE jobs SET {assign(values)} WHERE id = ?", [*values.values(), job_id])
            self._remember(job_id, now, new, reason)
            if not new.on_device:
                leases.release(self._db, job_id)
            return self._must(job_id)

    def update(self, job_id: str, **fields: object) -> JobRecord:
        """Write these fields and `last_modified`; the state stays.

        Raises TypeError for a wrong name (`state` is one: it changes by `transition`), NotFound for a wrong id.
        """
        values = {**_COLUMNS.changes(with_reason(fields)), "last_modified": iso(self._clock.time())}
        with self._db.transaction():
            self._db.write(f"UPDATE jobs SET {assign(values)} WHERE id = ?", [*values.values(), job_id])
            return self._must(job_id)

    def explain(self, job_id: str, reason: Reason) -> JobRecord | None:
        """Record why a job waits; None where it no longer waits."""
        values = {**_COLUMNS.changes(with_reason({"reason": reason})), "last_modified": iso(self._clock.time())}
        with self._db.transaction():
            sql = f"UPDATE jobs SET {assign(values)} WHERE id = ? AND state IN ('{State.WAITING}', '{State.QUEUED}')"
            return self._must(job_id) if self._db.write(sql, [*values.values(), job_id]) else None

    def lease(self, job_id: str, slots: builtins.list[tuple[str, int]], reason: Reason) -> JobRecord:
        """Give a queued job these slots (device id, slot): it is LEASED then.

        Raises LeaseTaken where one is another job's, ImpossibleTransition where the job is not queued.
        """
        with self._db.transaction():
            devices = list(dict.fromkeys(device_id for device_id, _ in slots))
            job = self.transition(job_id, State.LEASED, reason, devices=devices)
            leases.take(self._db, job_id, slots, since=job.last_modified)
            return job

    def note(self, job_id: str, note: Reason) -> None:
        """Append a note to the job's history; nothing else changes. Raises NotFound."""
        with self._db.transaction():
            self._remember(job_id, iso(self._clock.time()), self._state(job_id), note)

    def history(self, job_id: str) -> builtins.list[HistoryRecord]:
        """The job's states and notes, first to last."""
        sql = "SELECT at, state, reason_code, reason_args FROM history WHERE job_id = ? ORDER BY id"
        return [
            HistoryRecord(at, State(state), Reason(ReasonCode(code), msgspec.json.decode(arguments)))
            for at, state, code, arguments in self._db.rows(sql, [job_id])
        ]

    def save_result(self, job_id: str, result: Result, *, metric_value: float | None = None) -> JobRecord:
        """Keep the whole result, and its short form as the job's progress; a `metric_value` of None leaves the old.

        Raises NotFound.
        """
        short = msgspec.structs.replace(result, **{name: [] for name in _LONG})
        fields: dict[str, object] = {"progress": short}
        if metric_value is not None:
            fields["metric_value"] = metric_value
        with self._db.transaction():
            job = self.update(job_id, **fields)
            sql = """INSERT INTO results (job_id, document) VALUES (?, ?)
                ON CONFLICT (job_id) DO UPDATE SET document = excluded.document"""
            self._db.write(sql, [job_id, msgspec.json.encode(result).decode()])
            return job

    def result(self, job_id: str) -> Result:
        """The whole result; an empty one where nothing was reported. Raises NotFound."""
        sql = """SELECT coalesce(results.document, jobs.progress) FROM jobs
            LEFT JOIN results ON results.job_id = jobs.id WHERE jobs.id = ?"""
        row = self._db.row(sql, [job_id])
        if row is None:
            raise NotFound(f"there is no job {job_id}")
        return _RESULT.decode(row[0])

    def mark_status(self, job_id: str, attempt: int, path: str, offset: int) -> None:
        """Remember that lines of status.json (`path` below the results) from this byte on are this attempt's."""
        sql = """INSERT INTO status_marks (job_id, attempt, path, offset) VALUES (?, ?, ?, ?)
            ON CONFLICT (job_id, attempt) DO UPDATE SET path = excluded.path, offset = excluded.offset"""
        with self._db.transaction():
            self._db.write(sql, [job_id, attempt, path, offset])

    def status_mark(self, job_id: str, attempt: int) -> tuple[str, int] | None:
        """What `mark_status` remembered: path and byte offset."""
        sql = "SELECT path, offset FROM status_marks WHERE job_id = ? AND attempt = ?"
        row = self._db.row(sql, [job_id, attempt])
        return None if row is None else (row[0], row[1])

    def delete(self, job_id: str) -> bool:
        """Delete a job with its related rows; its children lose their parent. Returns whether it existed."""
        with self._db.transaction():
            return self._db.write("DELETE FROM jobs WHERE id = ?", [job_id]) > 0

    def _must(self, job_id: str) -> JobRecord:
        job = self.get(job_id)
        if job is None:
            raise NotFound(f"there is no job {job_id}")
        return job

    def _state(self, job_id: str) -> State:
        row = self._db.row("SELECT state FROM jobs WHERE id = ?", [job_id])
        if row is None:
            raise NotFound(f"there is no job {job_id}")
        return State(row[0])

    def _remember(self, job_id: str, at: str, state: State, reason: Reason) -> None:
        sql = "INSERT INTO history (job_id, at, state, reason_code, reason_args) VALUES (?, ?, ?, ?, ?)"
        arguments = msgspec.json.encode(reason.arguments).decode()
        self._db.write(sql, [job_id, at, str(state), str(reason.code), arguments])


def _public(row: tuple[Any, ...]) -> Job:
    """The result stays JSON, which an encoder inserts as it is: a page of datasets holds hundreds."""
    job_id, action, parent_id, state, created_on, last_modified, document = row
    result = cast(Result, msgspec.Raw(document))
    return Job(job_id, action, parent_id, _PUBLIC_STATUS[state], created_on, last_modified, result)


def _in_queue(time_s: float) -> int:
    """The place of a job that enters the queue then: in nanoseconds, so that there is room between two of them."""
    return round(time_s * 1e9)


def _follows(old: State, new: State, now: str) -> dict[str, object]:
    """The columns that a change of state sets by itself."""
    values: dict[str, object] = {}
    if new is not State.HELD:
        values["retry_at"] = None
    if new in _WAITS:
        values["started_at"] = values["ended_at"] = values["stop_intent"] = None
    if new is State.QUEUED and old not in _NEVER_RAN:
        values["queued_at"] = now
    if new is State.RUNNING:
        values["started_at"] = now
    if new.ended or new is State.PAUSED:
        values["ended_at"] = now
        values["stop_intent"] = None
    return values


def _by_state_alone(filter: JobFilter) -> bool:
    """Whether the kept counts answer how many match."""
    return filter == JobFilter(user_id=filter.user_id, states=filter.states)


def _where(filter: JobFilter) -> Where:
    where = Where()
    where.equal("user_id", filter.user_id)
    where.equal("owner_kind", filter.owner_kind)
    where.equal("owner_id", filter.owner_id)
    where.equal("action", filter.action)
    where.equal("network", filter.network)
    if filter.states is not None:
        names = sorted(filter.states)
        where.add(f"state IN ({', '.join('?' * len(names))})", *names)
    where.within("search_key", filter.text)
    if filter.trials is not None:
        where.add("sweep_id IS NOT NULL" if filter.trials else "sweep_id IS NULL")
    return where
