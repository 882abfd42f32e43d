"""The repository of jobs, with their states, histories and results."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from store import leases
from store.columns import Columns, with_reason
from store.database import Database
from store.owner import OWNER_NAME, owner_column, refresh_search
from store.page import ORDER, Where, limit
from store.queue import EVERY_LINE, STEP
from store.records import HistoryRecord, JobFilter, JobRecord, NewJob, SpecifiedJob
from taod.clock import Clock, iso
from taod.errors import NotFound
from taod.types.common import JobSort, OwnerKind
from taod.types.job import Job, JobKind, Result
from taod.types.reason import Reason, ReasonCode
from taod.types.release import BASE
from taod.types.state import State, check_transition

_TRIALS = f"""CASE WHEN jobs.kind = '{JobKind.SWEEP}' THEN
    coalesce((SELECT max(number) + 1 FROM trials WHERE trials.sweep_id = jobs.id), 0) END"""
_COMPUTED = {"owner_name": OWNER_NAME, "trials": _TRIALS}
_COLUMNS = Columns(JobRecord, computed=_COMPUTED)
_WITH_SPEC = Columns(
    SpecifiedJob,
    computed=_COMPUTED,
    fixed=("id", "user_id", "owner_kind", "owner_id", "network", "action", "state", "created_on", "last_modified"),
)
_SELECT = f"SELECT {_COLUMNS.select('jobs')} FROM jobs"
_PUBLIC = """SELECT jobs.id, jobs.action, jobs.parent_id, jobs.state, jobs.created_on,
    jobs.last_modified, CAST(coalesce(results.document, jobs.progress) AS BLOB)
    FROM jobs LEFT JOIN results ON results.job_id = jobs.id"""
"""The columns of `_public`. The index `jobs_of_owner` has all but the result."""
_LISTED = "jobs.owner_id = ? AND jobs.owner_kind = ? AND jobs.sweep_id IS NULL"
"""The jobs that an owner lists: its sweeps, but not their trials."""
_DATASET_ID = "json_extract(json_each.value, '$.dataset_id')"
_HISTORY = "INSERT INTO history (job_id, at, state, reason_code, reason_args) VALUES (?, ?, ?, ?, ?)"
_PUBLIC_STATUS = {str(state): state.public for state in State}
_RESULT = msgspec.json.Decoder(Result)
_LONG_FIELDS = ("kpi", "graphical", "categorical")
_NOT_STARTED = (State.WAITING, State.QUEUED, State.HELD)
_NEVER_RAN = (State.LEASED, State.STARTING)


class Jobs:
    """The rows of jobs, results, histories and positions in status files."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock
        self._last_place: int | None = None
        """The last queue position assigned by this process."""

    def add(self, jobs: builtins.list[NewJob]) -> builtins.list[JobRecord]:
        """Insert jobs in one transaction. Their dates are a microsecond apart, so that lists keep a chain's order.

        Raises Conflict if a reference does not exist.
        """
        with self._db.transaction():
            now_us = round(self._clock.time() * 1e6)
            for number, job in enumerate(jobs):
                # In integer microseconds: two floats one microsecond apart may format as the same date.
                self._insert(job, (now_us + number) / 1e6)
            return [self._require(job.id) for job in jobs]

    def _insert(self, job: NewJob, time_s: float) -> None:
        at = iso(time_s)
        fields = msgspec.structs.asdict(job)
        record = SpecifiedJob(
            **with_reason(fields),
            owner_name="",
            created_on=at,
            last_modified=at,
            queued_at=at if job.state is State.QUEUED else None,
            place=self._next_position(time_s) if job.state is State.QUEUED else 0,
        )
        values = {**_WITH_SPEC.pack(record), owner_column(job.owner_kind): job.owner_id, "search_key": ""}
        self._db.insert("jobs", values)
        refresh_search(self._db, "id", job.id)
        self._add_history(job.id, at, job.state, job.reason)

    def _next_position(self, time_s: float) -> int:
        """A queue position behind all queued jobs, even if the clock was set back."""
        place = round(time_s * 1e9)
        if self._last_place is None or place < self._last_place:
            last = max(self._db.number(f"SELECT coalesce(max(place), 0) FROM {line}", []) for line in EVERY_LINE)
            if last > place:
                place = last + STEP
        self._last_place = place
        return place

    def get(self, job_id: str) -> JobRecord | None:
        row = self._db.row(f"{_SELECT} WHERE id = ?", [job_id])
        return None if row is None else _COLUMNS.read(row)

    def specified(self, job_id: str) -> SpecifiedJob | None:
        """As `get`, with the specification."""
        row = self._db.row(f"SELECT {_WITH_SPEC.select('jobs')} FROM jobs WHERE id = ?", [job_id])
        return None if row is None else _WITH_SPEC.read(row)

    def owned(self, owner_kind: OwnerKind, owner_id: str, job_id: str) -> JobRecord | None:
        """The job, if it belongs to this owner."""
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
        """One page of jobs, and the total number of matches."""
        where = _job_conditions(filter)
        if _has_kept_counts(msgspec.structs.replace(filter, trials=None)) and filter.trials is not True:
            total = sum(self.counts(filter).values())
        else:
            total = self._db.number(f"SELECT count(*) FROM jobs WHERE {where.sql}", where.parameters)
        if total <= skip:
            return [], total
        sql = f"{_SELECT} WHERE {where.sql} ORDER BY {ORDER[sort]} LIMIT ? OFFSET ?"
        rows = self._db.rows(sql, [*where.parameters, limit(size, total - skip), skip])
        return [_COLUMNS.read(row) for row in rows], total

    def results(self, filter: JobFilter) -> Iterator[tuple[JobRecord, Result]]:
        """Matching jobs that have reported results, with them, newest first; of sweeps the trials only."""
        where = _job_conditions(filter)
        where.add("kind <> ?", str(JobKind.SWEEP))
        document = "SELECT document FROM results WHERE results.job_id = jobs.id"
        sql = f"""SELECT {_COLUMNS.select("jobs")}, ({document}) FROM jobs
            WHERE {where.sql} AND EXISTS ({document}) ORDER BY {ORDER[JobSort.DATE_DESCENDING]}"""
        for *columns, result in self._db.rows(sql, where.parameters):
            yield _COLUMNS.read(columns), _RESULT.decode(result)

    def counts(self, filter: JobFilter = JobFilter()) -> dict[State, int]:
        """The number of matching jobs by state, without zeros."""
        where = _job_conditions(filter)
        if filter.trials is False and _has_kept_counts(msgspec.structs.replace(filter, trials=None)):
            # `job_counts` includes trials. They are few and have their own index, so they are subtracted.
            every = self.counts(msgspec.structs.replace(filter, trials=None))
            trials = self.counts(msgspec.structs.replace(filter, trials=True))
            return {state: left for state, count in every.items() if (left := count - trials.get(state, 0))}
        if _has_kept_counts(filter):
            sql = f"SELECT state, sum(number) FROM job_counts WHERE {where.sql} AND number > 0 GROUP BY state"
        else:
            sql = f"SELECT state, count(*) FROM jobs WHERE {where.sql} GROUP BY state"
        return {State(state): count for state, count in self._db.rows(sql, where.parameters)}

    def public(self, owner_kind: OwnerKind, owner_ids: builtins.list[str]) -> dict[str, builtins.list[Job]]:
        """Owner id → its jobs in the form of the HTTP contract, oldest first; empty lists included."""
        # One query per owner: a single query would sort all jobs together with their results.
        sql = f"{_PUBLIC} WHERE {_LISTED} ORDER BY jobs.created_on, jobs.id"
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
        """One page of an owner's jobs in the form of the HTTP contract, and their total number."""
        total = self._db.number(f"SELECT count(*) FROM jobs WHERE {_LISTED}", [owner_id, owner_kind])
        sql = f"{_PUBLIC} WHERE {_LISTED} ORDER BY {ORDER[sort]} LIMIT ? OFFSET ?"
        rows = self._db.rows(sql, [owner_id, owner_kind, limit(size), skip])
        return [_public(row) for row in rows], total

    def newest(
        self, owner_kind: OwnerKind, owner_id: str, actions: Iterable[str], but: Iterable[State], release: str = BASE
    ) -> tuple[str, str] | None:
        """Id and action of the owner's newest job with one of the actions, this release, and no state of `but`."""
        wanted, states = list(actions), [str(state) for state in but]
        sql = f"""SELECT id, action FROM jobs WHERE {_LISTED} AND action IN ({", ".join("?" * len(wanted))})
            AND state NOT IN ({", ".join("?" * len(states))}) AND release = ?
            ORDER BY created_on DESC, id DESC LIMIT 1"""
        row = self._db.row(sql, [owner_id, owner_kind, *wanted, *states, release])
        return None if row is None else (row[0], row[1])

    def in_states(self, states: Iterable[State]) -> builtins.list[JobRecord]:
        """Jobs in any of these states, sorted by priority (high first), queue position and creation."""
        names = [str(state) for state in states]
        sql = f"""{_SELECT} WHERE state IN ({", ".join("?" * len(names))})
            ORDER BY priority DESC, queued_at IS NULL, place, created_on, id"""
        return [_COLUMNS.read(row) for row in self._db.rows(sql, names)]

    def named(self, job_ids: Iterable[str]) -> dict[str, JobRecord]:
        """Id → job, for the ids that exist."""
        sql = f"{_SELECT} WHERE id IN (SELECT value FROM json_each(?))"
        rows = self._db.rows(sql, [msgspec.json.encode(list(job_ids)).decode()])
        return {job.id: job for job in map(_COLUMNS.read, rows)}

    def of_owners(
        self, owner_kind: OwnerKind, owner_ids: Iterable[str], states: Iterable[State]
    ) -> builtins.list[JobRecord]:
        """The jobs of any of these owners that are in any of these states, oldest first."""
        names, ids = [str(state) for state in states], msgspec.json.encode([*owner_ids]).decode()
        sql = f"""{_SELECT} WHERE {owner_column(owner_kind)} IN (SELECT value FROM json_each(?))
            AND state IN ({", ".join("?" * len(names))}) ORDER BY created_on, id"""
        return [_COLUMNS.read(row) for row in self._db.rows(sql, [ids, *names])]

    def ended_before(self, at: str) -> builtins.list[str]:
        """Ids of the jobs that ended before this time (ISO 8601, in the store's format)."""
        ended = ", ".join(f"'{state}'" for state in State if state.ended)
        return [row[0] for row in self._db.rows(f"SELECT id FROM jobs WHERE state IN ({ended}) AND ended_at < ?", [at])]

    def to_retry(self) -> builtins.list[JobRecord]:
        """Jobs that wait for a retry, earliest first."""
        sql = f"{_SELECT} WHERE retry_at IS NOT NULL AND state = '{State.HELD}' ORDER BY retry_at"
        return [_COLUMNS.read(row) for row in self._db.rows(sql)]

    def children(self, job_id: str) -> builtins.list[JobRecord]:
        """The jobs whose parent is this job, oldest first."""
        rows = self._db.rows(f"{_SELECT} WHERE parent_id = ? ORDER BY created_on, id", [job_id])
        return [_COLUMNS.read(row) for row in rows]

    def ids_of(self, owner_kind: OwnerKind, owner_id: str) -> builtins.list[str]:
        """Ids of all jobs of an owner, including trials, oldest first."""
        sql = "SELECT id FROM jobs WHERE owner_id = ? AND owner_kind = ? ORDER BY created_on, id"
        return [row[0] for row in self._db.rows(sql, [owner_id, owner_kind])]

    def trials_of(self, job_id: str) -> builtins.list[JobRecord]:
        """The jobs of a sweep's trials, sorted by trial number."""
        rows = self._db.rows(f"{_SELECT} WHERE sweep_id = ? ORDER BY trial, id", [job_id])
        return [_COLUMNS.read(row) for row in rows]

    def transition(self, job_id: str, new: State, reason: Reason, **fields: object) -> JobRecord:
        """Change the state and the dates, leases and stop intent that depend on it, and add a row of history.

        A job that returns to the queue without having run keeps its position. `fields` are written too and take
        precedence over values implied by the state. Raises ImpossibleTransition, NotFound, TypeError for an unknown
        field.
        """
        changes = _WITH_SPEC.changes(fields)
        with self._db.transaction():
            old = self._state(job_id)
            check_transition(job_id, old, new)
            time_s = self._clock.time()
            now = iso(time_s)
            implied = _implied_columns(old, new, now)
            if "queued_at" in implied:
                implied["place"] = self._next_position(time_s)
            reason_columns = _WITH_SPEC.changes(with_reason({"reason": reason}))
            values = {"state": str(new), **reason_columns, "last_modified": now, **implied, **changes}
            self._db.update("jobs", values, "id = ?", [job_id])
            self._add_history(job_id, now, new, reason)
            if not new.on_device:
                leases.release(self._db, job_id)
            return self._require(job_id)

    def update(self, job_id: str, **fields: object) -> JobRecord:
        """Write these fields and `last_modified`.

        Raises TypeError for an unknown field or `state`, which only `transition` changes; NotFound for an unknown id.
        """
        values = {**_WITH_SPEC.changes(with_reason(fields)), "last_modified": iso(self._clock.time())}
        with self._db.transaction():
            self._db.update("jobs", values, "id = ?", [job_id])
            return self._require(job_id)

    def explain(self, job_id: str, reason: Reason) -> JobRecord | None:
        """Record why a job waits. Returns None if it no longer waits."""
        values = {**_WITH_SPEC.changes(with_reason({"reason": reason})), "last_modified": iso(self._clock.time())}
        with self._db.transaction():
            waits = f"id = ? AND state IN ('{State.WAITING}', '{State.QUEUED}')"
            return self._require(job_id) if self._db.update("jobs", values, waits, [job_id]) else None

    def lease(self, job_id: str, slots: builtins.list[tuple[str, int]], reason: Reason) -> JobRecord:
        """Lease these slots (device id, slot) to a queued job, which becomes LEASED.

        Raises LeaseTaken if another job holds one, ImpossibleTransition if the job is not queued.
        """
        with self._db.transaction():
            devices = list(dict.fromkeys(device_id for device_id, _ in slots))
            job = self.transition(job_id, State.LEASED, reason, devices=devices)
            leases.take(self._db, job_id, slots, since=job.last_modified)
            return job

    def note_all(self, notes: Iterable[tuple[str, Reason]]) -> None:
        """Add notes, each with its job's id, to the histories of jobs. Raises NotFound."""
        with self._db.transaction():
            at, states = iso(self._clock.time()), dict[str, State]()
            rows = []
            for job_id, note in notes:
                if job_id not in states:
                    states[job_id] = self._state(job_id)
                arguments = msgspec.json.encode(note.arguments).decode()
                rows.append((job_id, at, str(states[job_id]), str(note.code), arguments))
            self._db.write_all(_HISTORY, rows)

    def note(self, job_id: str, note: Reason) -> None:
        """Append a note to the job's history. Raises NotFound."""
        with self._db.transaction():
            self._add_history(job_id, iso(self._clock.time()), self._state(job_id), note)

    def history(self, job_id: str) -> builtins.list[HistoryRecord]:
        """The job's states and notes, oldest first."""
        sql = "SELECT at, state, reason_code, reason_args FROM history WHERE job_id = ? ORDER BY id"
        return [
            HistoryRecord(at, State(state), Reason(ReasonCode(code), msgspec.json.decode(arguments)))
            for at, state, code, arguments in self._db.rows(sql, [job_id])
        ]

    def save_result(self, job_id: str, result: Result, *, metric_value: float | None = None) -> JobRecord:
        """Write the full result, its short form as progress, and `metric_value` unless None. Raises NotFound."""
        short = msgspec.structs.replace(result, **{name: [] for name in _LONG_FIELDS})
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
        """The full result; empty if none was reported. Raises NotFound."""
        return _RESULT.decode(self.document(job_id))

    def document(self, job_id: str) -> str:
        """The full result as JSON. Raises NotFound."""
        sql = """SELECT coalesce(results.document, jobs.progress) FROM jobs
            LEFT JOIN results ON results.job_id = jobs.id WHERE jobs.id = ?"""
        row = self._db.row(sql, [job_id])
        if row is None:
            raise NotFound(f"there is no job {job_id}")
        return str(row[0])

    def mark_status(self, job_id: str, attempt: int, path: str, offset: int) -> None:
        """Record the byte `offset` in status.json (`path` below the results) at which the attempt's lines begin."""
        sql = """INSERT INTO status_marks (job_id, attempt, path, offset) VALUES (?, ?, ?, ?)
            ON CONFLICT (job_id, attempt) DO UPDATE SET path = excluded.path, offset = excluded.offset"""
        with self._db.transaction():
            self._db.write(sql, [job_id, attempt, path, offset])

    def status_mark(self, job_id: str, attempt: int) -> tuple[str, int] | None:
        """Path and byte offset recorded by `mark_status`."""
        sql = "SELECT path, offset FROM status_marks WHERE job_id = ? AND attempt = ?"
        row = self._db.row(sql, [job_id, attempt])
        return None if row is None else (row[0], row[1])

    def delete(self, job_id: str) -> bool:
        """Delete a job with its related rows; children keep no parent. Returns whether it existed."""
        with self._db.transaction():
            return self._db.write("DELETE FROM jobs WHERE id = ?", [job_id]) > 0

    def _require(self, job_id: str) -> JobRecord:
        job = self.get(job_id)
        if job is None:
            raise NotFound(f"there is no job {job_id}")
        return job

    def _state(self, job_id: str) -> State:
        row = self._db.row("SELECT state FROM jobs WHERE id = ?", [job_id])
        if row is None:
            raise NotFound(f"there is no job {job_id}")
        return State(row[0])

    def _add_history(self, job_id: str, at: str, state: State, reason: Reason) -> None:
        arguments = msgspec.json.encode(reason.arguments).decode()
        self._db.write(_HISTORY, [job_id, at, str(state), str(reason.code), arguments])


def _public(row: tuple[Any, ...]) -> Job:
    """Build a job from a row of `_PUBLIC`. Its result stays raw JSON: a page of datasets has hundreds of them."""
    job_id, action, parent_id, state, created_on, last_modified, document = row
    return Job(job_id, action, parent_id, _PUBLIC_STATUS[state], created_on, last_modified, msgspec.Raw(document))


def _implied_columns(old: State, new: State, now: str) -> dict[str, object]:
    """Column → value that a change of state sets."""
    values: dict[str, object] = {}
    if new is not State.HELD:
        values["retry_at"] = None
    if new in _NOT_STARTED:
        values["started_at"] = values["ended_at"] = values["stop_intent"] = None
    if new is State.QUEUED and old not in _NEVER_RAN:
        values["queued_at"] = now
    if new is State.RUNNING:
        values["started_at"] = now
    if new.ended or new is State.PAUSED:
        values["ended_at"] = now
        values["stop_intent"] = None
    return values


def _has_kept_counts(filter: JobFilter) -> bool:
    """Whether the table `job_counts` has the number of matches."""
    return filter == JobFilter(user_id=filter.user_id, states=filter.states)


def _job_conditions(filter: JobFilter) -> Where:
    where = Where()
    where.equal("user_id", filter.user_id)
    where.equal("owner_kind", filter.owner_kind)
    where.equal("owner_id", filter.owner_id)
    where.equal("action", filter.action)
    where.equal("network", filter.network)
    if filter.states is not None:
        names = sorted(filter.states)
        where.add(f"state IN ({', '.join('?' * len(names))})", *names)
    where.require_text("search_key", filter.text)
    if filter.trials is not None:
        where.add("sweep_id IS NOT NULL" if filter.trials else "sweep_id IS NULL")
    if filter.dataset is not None:
        where.add(f"EXISTS (SELECT 1 FROM json_each(jobs.data) WHERE {_DATASET_ID} = ?)", filter.dataset)
    return where
