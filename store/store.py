"""The store: one database with one repository per kind of record."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

from store import copies
from store.database import Database
from store.datasets import Datasets
from store.jobs import Jobs
from store.leases import Leases
from store.migrations import migrate
from store.models import Models
from store.notifications import Notifications
from store.queue import Queue
from store.runs import Runs
from store.specs import Specs
from store.sweeps import Sweeps
from store.tracked import Tracked
from store.users import Users
from taod.clock import Clock, SystemClock
from taod.errors import ConfigError

log = logging.getLogger(__name__)


class Store:
    """All state of a daemon. Calls are synchronous and short; one thread at a time, but any within `snapshot`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self.users = Users(database, clock)
        self.datasets = Datasets(database, clock)
        self.models = Models(database, clock)
        self.specs = Specs(database)
        self.jobs = Jobs(database, clock)
        self.queue = Queue(database, clock)
        self.leases = Leases(database)
        self.runs = Runs(database)
        self.sweeps = Sweeps(database)
        self.notifications = Notifications(database, clock)
        self.tracked = Tracked(database)

    @classmethod
    def open(cls, path: Path | None, *, clock: Clock | None = None) -> Store:
        """Open the file, and create or upgrade it if needed; None: a store in memory.

        Raises ConfigError if it is not a database or was written by a newer taod.
        """
        database = Database(path)
        try:
            migrate(database)
            database.watch(lambda connection: _rescue(connection, path))
        except BaseException:
            database.close()
            raise
        return cls(database, clock or SystemClock())

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def reserve(self) -> None:
        """Reserve disk space for small changes on a full disk, such as cancelling or deleting."""
        self._database.reserve()

    def verify(self) -> None:
        """Raise StoreLost unless the open database is the one at its path."""
        self._database.verify()

    def transaction(self) -> AbstractContextManager[None]:
        """A transaction; a nested one is a savepoint of the outer one. Never await inside."""
        return self._database.transaction()

    def snapshot(self) -> AbstractContextManager[None]:
        """A block in which this thread, beside the one that writes, reads the store as it is at the beginning."""
        return self._database.snapshot()

    def short(self, most_bytes: int) -> AbstractContextManager[None]:
        """A block in which this thread reads at most so much of the store. Raises LongRead as it exceeds it."""
        return self._database.short(most_bytes)

    @property
    def in_memory(self) -> bool:
        """Whether only one thread can use it, also to read."""
        return self._database.in_memory

    def durable(self) -> AbstractContextManager[None]:
        """A transaction that is flushed to the disk at its end, before a request reports it as done."""
        return self._database.durable()


def _rescue(connection: sqlite3.Connection, path: Path | None) -> None:
    """Copy the content of a lost file to the backups of its root."""
    try:
        if path is not None and path.parent.is_dir():
            log.error("what was stored is copied to %s", copies.copy_open(connection, path.parent / copies.FOLDER))
    except (OSError, sqlite3.Error, ConfigError) as error:
        log.error("what was stored cannot be copied: %s", error)
