"""Copies a database file with SQLite's online backup, while a daemon may write to it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from store.inspect import inspect
from taod.errors import ConfigError

FOLDER = "backups"
"""Folder of the copies, beside the database."""
_PAGES = 500
"""Pages per step; writers proceed between steps."""
_PATTERN = "taod-*.db"


def copy(source: Path, target: Path) -> Path:
    """Copy `source` to `target` atomically; returns `target`. Raises ConfigError if the source is damaged."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True, timeout=5)) as opened:
            return _copy(opened, target)
    except sqlite3.Error as error:
        raise ConfigError(f"{source} cannot be copied to {target}: {error}") from error


def copy_open(source: sqlite3.Connection, folder: Path) -> Path:
    """Copy an open database to `folder`, named by the time. Raises ConfigError, sqlite3.Error."""
    return _copy(source, folder / _name())


def _copy(source: sqlite3.Connection, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = target.with_name(f".{target.name}.new")
    aside.unlink(missing_ok=True)
    os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(sqlite3.connect(aside)) as written:
            source.backup(written, pages=_PAGES, sleep=0.005)
            written.execute("PRAGMA journal_mode=DELETE")
        if damage := inspect(aside).damage:
            raise ConfigError(f"the database is damaged, no copy of it was kept: {damage[0]}")
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return target


def copy_into(folder: Path, source: Path, keep: int) -> Path:
    """Copy `source` to `folder`, named by the time, and delete all but the newest `keep` copies."""
    created = copy(source, folder / _name())
    for old in listed(folder)[max(keep, 1) :]:
        old.unlink(missing_ok=True)
    return created


def _name() -> str:
    return time.strftime("taod-%Y%m%d-%H%M%S.db", time.gmtime())


def listed(folder: Path) -> list[Path]:
    """The copies in a folder, newest first."""
    return sorted(folder.glob(_PATTERN), reverse=True) if folder.is_dir() else []


def newest_good(folder: Path) -> Path | None:
    """The newest undamaged copy."""
    return next((each for each in listed(folder) if not inspect(each).damage), None)


def restore(source: Path, database: Path) -> Path | None:
    """Replace a database that no process has open by a copy. Returns the path that the old one was moved to.

    Raises ConfigError if the copy is damaged or written by a newer taod.
    """
    found = inspect(source)
    if found.damage or found.newer:
        why = found.damage[0] if found.damage else f"it is of a newer taod (with {', '.join(found.newer)})"
        raise ConfigError(f"{source} cannot be restored: {why}")
    aside = database.with_name(f".{database.name}.restored")
    shutil.copyfile(source, aside)
    aside.chmod(0o600)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    former = None
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    for suffix in ("-wal", "-shm", ""):
        old = database.with_name(database.name + suffix)
        if old.exists():
            former = old.rename(database.with_name(f"{database.name}.{stamp}{suffix}"))
    aside.replace(database)
    return former
