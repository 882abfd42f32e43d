"""Opens the SQLite file, runs statements and transactions. Knows no table."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from store.watched_file import WatchedFile
from taod.errors import BadRequest, ConfigError, Conflict, StoreLost

log = logging.getLogger(__name__)

Row: TypeAlias = tuple[Any, ...]

_RESERVED_PAGES = 1024
BUSY_TIMEOUT_MS = 5_000
"""How long a writer waits for a writer in another process (`taod user add` beside a running daemon)."""
WAL_RETRY_S = 0.005
ROWS_AT_ONCE = 32
"""Rows that a short read takes before it counts them."""
ROW_BYTES = 100
"""What a row costs besides its texts, of what `short` allows."""


class LongRead(Exception):
    """More was read than `short` allows."""


class Database:
    """One connection to a file (`path` None: to memory), used by one thread at a time; snapshots have their own.

    WAL mode: readers in other processes never block the writer. `synchronous=NORMAL`: kill -9 loses no committed
    transaction; a power cut may lose those of the last half minute, which the kernel had not written yet, but never
    leaves a partial one. `durable` transactions are flushed to the disk before a request reports them as done.
    Others are not: a flush takes 0.5 ms on an idle machine with an SSD and 3 to 5 ms while runs keep the cores busy,
    a request causes several transactions, and the progress and end of a job can be read again from its files.

    Raises ConfigError if the file is not a database.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is not None:
            path.touch(mode=0o600)
        self.connection = sqlite3.connect(
            ":memory:" if path is None else path,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        self._snapshots = threading.local()
        self._readers: list[_Reader] = []
        """Of all threads that have read snapshots."""
        self._closed = False
        self._depth = 0
        self._lost: str | None = None
        self._file: WatchedFile | None = None
        self._rescue: Callable[[sqlite3.Connection], None] = lambda _: None
        try:
            # Setting WAL and writing the schema need the write lock; the other pragmas concern only this connection.
            self._set_wal()
            for pragma in ("synchronous=NORMAL", "foreign_keys=ON", "cache_size=-16384"):
                self.connection.execute(f"PRAGMA {pragma}")
        except sqlite3.DatabaseError as error:
            self.connection.close()
            raise ConfigError(
                f"{path} cannot be opened as taod's database: {error}; if it is not one, move it away"
            ) from error

    def _set_wal(self) -> None:
        """Set WAL mode, with retries: while another process creates the file, SQLite ignores the busy timeout."""
        deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(WAL_RETRY_S)
            else:
                return

    def watch(self, rescue: Callable[[sqlite3.Connection], None]) -> None:
        """Make each transaction verify that the open file is still the one at its path.

        `rescue` is called when the file is lost: its content exists only as long as the connection is open.
        """
        self._rescue = rescue
        if self._path is not None:
            self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the WAL
            self._file = WatchedFile(self._path)

    def reserve(self) -> None:
        """Reserve disk space for small changes on a full disk: free pages in the file, and a WAL that SQLite
        overwrites in place. Logs a warning if the disk is full already."""
        try:
            self.write("DROP TABLE IF EXISTS reserve")  # of a daemon that was killed here
            if self.number("PRAGMA freelist_count") < _RESERVED_PAGES:
                size = self.number("PRAGMA page_size") * _RESERVED_PAGES
                with self.transaction():
                    self.write("CREATE TABLE reserve (block BLOB)")
                    self.write("INSERT INTO reserve VALUES (zeroblob(?))", [size])
                self.rows("PRAGMA wal_checkpoint(PASSIVE)")
                self.write("DROP TABLE reserve")
        except sqlite3.OperationalError as error:
            log.warning("no disk space could be reserved for a full disk: %s", error)

    def verify(self) -> None:
        """Raise StoreLost unless the open file is the one at its path and undamaged. Costs two system calls."""
        lost = self._file.problem() if self._file is not None else None
        if lost != self._lost:
            if lost is None:
                log.warning("the database is back: %s", self._path)
            else:
                log.error("the database is lost: %s; requests are answered 503, runs continue", lost)
                if not self.connection.in_transaction:
                    self._rescue(self.connection)
            self._lost = lost
        if lost is not None:
            raise StoreLost(f"the database is lost: {lost}, or restore a copy with `taod restore`")

    @property
    def in_memory(self) -> bool:
        """Whether it has no file, so that only one connection can see it."""
        return self._path is None

    def close(self) -> None:
        """Close the file, also for snapshots, of which those that are being read when they end."""
        self._closed = True
        self.connection.close()
        for reader in self._readers:
            reader.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within the block, this thread reads what was stored at its beginning, beside the thread that writes.

        A database in memory belongs to one connection: there the block reads what is stored at each moment, and must
        run in the thread that writes.
        """
        if self._path is None:
            yield
            return
        reader: _Reader | None = getattr(self._snapshots, "kept", None)
        if reader is None:
            try:
                reader = self._snapshots.kept = _Reader(self._path)
            except sqlite3.OperationalError as error:  # the file was moved away, or there are no descriptors
                raise StoreLost(f"the database cannot be opened: {self._path}: {error}; retry later") from error
            self._readers.append(reader)
        with reader.used:
            reader.connection.execute("BEGIN")
            self._snapshots.reader = reader.connection
            try:
                yield
            finally:
                self._snapshots.reader = None
                reader.connection.execute("ROLLBACK")
        if self._closed:
            reader.close()

    @contextmanager
    def short(self, most_bytes: int) -> Iterator[None]:
        """Within the block, this thread reads at most so much, and writes nothing. Raises LongRead as it exceeds it."""
        self._snapshots.left = most_bytes
        try:
            yield
        finally:
            self._snapshots.left = None

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of the result."""
        cursor = self._run(sql, parameters)
        if getattr(self._snapshots, "left", None) is None:
            return cursor.fetchall()
        found: list[Row] = []
        while some := cursor.fetchmany(ROWS_AT_ONCE):
            self._count(some)
            found += some
        return found

    def row(self, sql: str, parameters: Sequence[object] = ()) -> Row | None:
        """The first row of the result, or None."""
        row: Row | None = self._run(sql, parameters).fetchone()
        if row is not None and getattr(self._snapshots, "left", None) is not None:
            self._count([row])
        return row

    def _count(self, rows: list[Row]) -> None:
        """Count rows, and their texts, as read. Raises LongRead."""
        left = self._snapshots.left - ROW_BYTES * len(rows)
        for row in rows:
            for value in row:
                if value.__class__ is str or value.__class__ is bytes:
                    left -= len(value)
        self._snapshots.left = left
        if left < 0:
            raise LongRead

    def number(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """The first column of the first row as an integer; 0 without a row."""
        row = self.row(sql, parameters)
        return 0 if row is None else int(row[0])

    def write(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Run a statement that changes rows. Returns how many it changed."""
        return self._run(sql, parameters).rowcount

    def write_all(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement that changes rows once for each sequence of parameters."""
        self.connection.executemany(sql, rows)

    def insert(self, table: str, values: Mapping[str, object]) -> None:
        """Insert one row (column → value)."""
        columns, placeholders = ", ".join(values), ", ".join("?" * len(values))
        self._run(f"INSERT INTO {table} ({columns}) VALUES ({placeholders})", [*values.values()])

    def update(self, table: str, values: Mapping[str, object], where: str, parameters: Sequence[object]) -> int:
        """Write these columns of the rows that match `where`. Returns how many there are."""
        assignments = ", ".join(f"{name} = ?" for name in values)
        return self.write(f"UPDATE {table} SET {assignments} WHERE {where}", [*values.values(), *parameters])

    def _run(self, sql: str, parameters: Sequence[object]) -> sqlite3.Cursor:
        try:
            reader: sqlite3.Connection | None = getattr(self._snapshots, "reader", None)
            return (reader or self.connection).execute(sql, parameters)
        except sqlite3.IntegrityError as error:
            raise Conflict(f"the store rejects the change, nothing was written: {error}") from error
        except OverflowError as error:
            raise BadRequest("a whole number is outside ±2^63, more than the store can keep") from error
        except UnicodeEncodeError as error:
            raise BadRequest("a text holds half of a surrogate pair, which is no character") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction; a nested one is a savepoint of the outer one.

        Never await inside: writes of other tasks would become part of it.
        """
        assert getattr(self._snapshots, "reader", None) is None, "a snapshot is only read"
        assert getattr(self._snapshots, "left", None) is None, "a short read writes nothing"
        if self._depth == 0:
            self.verify()
        begin, end, undo = _OUTER if self._depth == 0 else _nested(self._depth)
        self.connection.execute(begin)
        self._depth += 1
        try:
            yield
            if self._depth == 1:
                self.connection.execute(end)
        except BaseException:
            if self.connection.in_transaction:
                for statement in undo:
                    self.connection.execute(statement)
            raise
        else:
            if self._depth > 1:
                self.connection.execute(end)
        finally:
            self._depth -= 1

    @contextmanager
    def durable(self) -> Iterator[None]:
        """A transaction that is flushed to the disk at its end. A nested one is as durable as the outer one."""
        if self._depth:
            with self.transaction():
                yield
            return
        self.connection.execute("PRAGMA synchronous=FULL")
        try:
            with self.transaction():
                yield
            self.verify()  # If the file was lost meanwhile, the transaction is not durable.
        finally:
            self.connection.execute("PRAGMA synchronous=NORMAL")


class _Reader:
    """One thread's connection for snapshots."""

    def __init__(self, path: Path) -> None:
        address = f"{path.absolute().as_uri()}?mode=ro"
        self.connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
        try:
            self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the file and its WAL
        except sqlite3.Error:
            self.connection.close()
            raise
        self.used = threading.Lock()

    def close(self) -> None:
        """Close it, unless its thread uses it, which closes it then."""
        if self.used.acquire(blocking=False):
            try:
                self.connection.close()
            finally:
                self.used.release()


_OUTER = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))


def _nested(depth: int) -> tuple[str, str, tuple[str, ...]]:
    name = f"depth_{depth}"
    return f"SAVEPOINT {name}", f"RELEASE {name}", (f"ROLLBACK TO {name}", f"RELEASE {name}")
