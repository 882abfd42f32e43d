"""Opens the SQLite file, runs statements and keeps transactions. Knows no table."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from store.watched_file import WatchedFile
from taod.errors import BadRequest, ConfigError, Conflict, StoreLost

log = logging.getLogger(__name__)

_RESERVED_PAGES = 1024
BUSY_TIMEOUT_MS = 5_000
"""How long a writer waits for one in another process (`taod user add` beside a running daemon)."""
LOOK_AGAIN_S = 0.005


class Database:
    """One connection to one file, or to memory where there is no path; used by one thread at a time.

    The file is in WAL mode, so that readers in other processes never block the writer. `synchronous=NORMAL`: kill -9
    loses nothing that was committed; a power cut may lose what the kernel had not written yet, half a minute at most,
    and never leaves half a transaction. `durable` transactions are flushed to the disk, for
    what a request reports as done.
    It is not for all, because a flush takes 0.5 ms on an idle machine with an SSD and 3 to 5 ms where runs keep the
    cores busy: the daemon gives its core away at each. Between a request and its process there are several
    transactions, and a job's progress or end is found again in its files.

    Raises ConfigError where the file is not a database.
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
        self._depth = 0
        self._lost: str | None = None
        self._file: WatchedFile | None = None
        self._rescue: Callable[[sqlite3.Connection], None] = lambda _: None
        try:
            # Setting WAL and writing the schema need the only writer's lock; the rest are the connection's own.
            self._set_wal()
            for pragma in ("synchronous=NORMAL", "foreign_keys=ON", "cache_size=-16384"):
                self.connection.execute(f"PRAGMA {pragma}")
        except sqlite3.DatabaseError as error:
            self.connection.close()
            raise ConfigError(
                f"{path} cannot be opened as taod's database: {error}; if it is not one, move it away"
            ) from error

    def _set_wal(self) -> None:
        """While another process creates the file, SQLite fails at once, whatever the timeout."""
        deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_AGAIN_S)
            else:
                return

    def watch(self, rescue: Callable[[sqlite3.Connection], None]) -> None:
        """From now on, each transaction verifies that the open file is the one at its path. `rescue` is called once
        the file is lost: it exists only as long as it is open."""
        self._rescue = rescue
        if self._path is not None:
            self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the WAL
            self._file = WatchedFile(self._path)

    def reserve(self) -> None:
        """Take disk space that small changes use when the disk is full: free pages in the file, and a WAL of some
        size, which SQLite overwrites in place. If the disk has no room for it, it is left out."""
        try:
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
        """Raise StoreLost unless the open file is the one at its path, and whole. Two calls of the system."""
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

    def close(self) -> None:
        """Close the file; a second close does nothing."""
        self.connection.close()

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Every row that the statement answers."""
        return self._run(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""
        row: tuple[Any, ...] | None = self._run(sql, parameters).fetchone()
        return row

    def number(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """The whole number that is the answer's first column."""
        row = self.row(sql, parameters)
        return 0 if row is None else int(row[0])

    def write(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Run a statement that changes rows; how many it changed."""
        return self._run(sql, parameters).rowcount

    def _run(self, sql: str, parameters: Sequence[object]) -> sqlite3.Cursor:
        try:
            return self.connection.execute(sql, parameters)
        except sqlite3.IntegrityError as error:
            raise Conflict(f"the store rejects the change, nothing was written: {error}") from error
        except OverflowError as error:
            raise BadRequest("a whole number is outside ±2^63, more than the store can keep") from error
        except UnicodeEncodeError as error:
            raise BadRequest("a text holds half of a surrogate pair, which is no character") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Inside another one it joins that, yet undoes its own part where it fails.

        Never await inside: what another task writes meanwhile would become part of it.
        """
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
        """A transaction that a power cut cannot undo once it is left. Inside another one it joins that, and lasts as
        that does."""
        if self._depth:
            with self.transaction():
                yield
            return
        self.connection.execute("PRAGMA synchronous=FULL")
        try:
            with self.transaction():
                yield
            self.verify()  # The file may have been lost meanwhile: what was written then is not durable.
        finally:
            self.connection.execute("PRAGMA synchronous=NORMAL")


_OUTER = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))


def _nested(depth: int) -> tuple[str, str, tuple[str, ...]]:
    name = f"depth_{depth}"
    return f"SAVEPOINT {name}", f"RELEASE {name}", (f"ROLLBACK TO {name}", f"RELEASE {name}")
