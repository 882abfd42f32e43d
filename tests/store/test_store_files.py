"""The file: transactions, a killed writer, older and newer schemas, what is no database."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlite_utils

from store import Store
from store.database import Database
from store.migrations import STEPS, TABLE, Step, migrate
from taod.errors import ConfigError
from tests.patience import PATIENCE_S


def test_a_transaction_is_undone_whole(store: Store, make) -> None:
    model = make.model()
    with pytest.raises(RuntimeError), store.transaction():
        job = make.job(model)
        store.models.update(model.id, name="new")
        raise RuntimeError
    assert store.jobs.get(job.id) is None
    assert store.models.get(model.user_id, model.id) == model


def test_a_nested_transaction_joins_the_outer_and_undoes_only_itself(store: Store) -> None:
    with store.transaction():
        store.users.add("kept")
        with pytest.raises(RuntimeError), store.transaction():
            store.users.add("undone")
            raise RuntimeError
        with store.transaction():
            store.users.add("kept too")
    assert [user.name for user in store.users.all()] == ["kept", "kept too"]
    with pytest.raises(RuntimeError), store.transaction():
        with store.transaction():
            store.users.add("inner")
        raise RuntimeError
    assert store.users.by_name("inner") is None


_WRITER = """
import sys
from pathlib import Path
from store import Store

store = Store.open(Path(sys.argv[1]))
store.users.add("written")
with store.transaction():
    for number in range(2000):
        store.users.add(f"in the middle {number}")
    print("now", flush=True)
    sys.stdin.read()
"""


def test_a_writer_killed_in_mid_transaction_leaves_what_was_written_before(tmp_path: Path) -> None:
    path = tmp_path / "taod.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with writer:
        assert writer.stdout is not None and writer.stdout.readline() == "now\n"
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(PATIENCE_S) == -signal.SIGKILL
    store = Store.open(path)
    assert [user.name for user in store.users.all()] == ["written"]
    store.users.add("after")
    store.close()
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert check.execute("PRAGMA foreign_key_check").fetchall() == []
    check.close()


def test_everything_is_there_again_after_a_close(store: Store, make, tmp_path: Path) -> None:
    job = make.job(spec={"a": 1})
    store.close()
    again = Store.open(tmp_path / "taod.db")
    assert again.jobs.get(job.id) == job
    again.close()


def test_a_store_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.open(None)
    store.users.add("ada")
    store.close()
    assert list(tmp_path.iterdir()) == []


def user_mail(db: sqlite_utils.Database) -> None:
    db.execute("ALTER TABLE users ADD COLUMN mail TEXT")


def goes_wrong(db: sqlite_utils.Database) -> None:
    db.execute("CREATE TABLE half (a TEXT) STRICT")
    raise RuntimeError


def _again(db: sqlite_utils.Database) -> None:
    raise AssertionError("applied twice")


NEWER: dict[str, Step] = {**dict.fromkeys(STEPS, _again), "user_mail": user_mail}
"""Today's steps, which must not run again, and one of a newer taod."""


def test_an_older_file_is_upgraded_with_what_is_in_it_and_then_is_too_new_for_the_older_taod(tmp_path: Path) -> None:
    path = tmp_path / "taod.db"
    store = Store.open(path)
    store.users.add("ada")
    store.close()

    database = Database(path)
    migrate(database, NEWER)
    assert database.rows("SELECT name, mail FROM users") == [("ada", None)]
    assert database.number("PRAGMA user_version") == len(STEPS) + 1
    database.close()

    with pytest.raises(
        ConfigError, match=rf"version {len(STEPS) + 1} \(with user_mail\), this taod knows version {len(STEPS)}.*newer"
    ):
        Store.open(path)


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "taod.db"
    Store.open(path).close()
    database = Database(path)
    with pytest.raises(RuntimeError):
        migrate(database, {**NEWER, "goes_wrong": goes_wrong})
    assert database.rows("SELECT name FROM sqlite_master WHERE name = 'half'") == []
    assert [row[1] for row in database.rows("PRAGMA table_info(users)")] == ["id", "name", "created_on"]
    database.close()
    Store.open(path).close()


def _synchronous(store: Store) -> int:
    return store._database.number("PRAGMA synchronous")


NORMAL, FULL = 1, 2


def test_a_durable_transaction_is_flushed_to_the_disk_and_only_that(store: Store, make) -> None:
    with store.durable():
        model = make.model()
        assert _synchronous(store) == FULL
        with store.transaction(), store.durable():
            store.models.update(model.id, name="new")
        assert _synchronous(store) == FULL
    assert _synchronous(store) == NORMAL
    with pytest.raises(RuntimeError), store.durable():
        store.models.delete(model.id)
        raise RuntimeError
    assert _synchronous(store) == NORMAL
    found = store.models.get(model.user_id, model.id)
    assert found is not None and found.name == "new"


def test_a_durable_transaction_inside_another_one_is_flushed_as_that_does(store: Store, make) -> None:
    with pytest.raises(RuntimeError), store.transaction():
        with store.durable():
            job = make.job()
        assert _synchronous(store) == NORMAL
        raise RuntimeError
    assert store.jobs.get(job.id) is None


_ADDER = """
import sys
from pathlib import Path
from store import Store

Store.open(Path(sys.argv[1])).users.add(sys.argv[2])
"""


def test_two_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "taod.db"
    both = [subprocess.Popen([sys.executable, "-c", _ADDER, str(path), name]) for name in ("ada", "grace")]
    assert [process.wait(PATIENCE_S) for process in both] == [0, 0]
    store = Store.open(path)
    assert [user.name for user in store.users.all()] == ["ada", "grace"]
    store.close()


def test_a_file_that_another_process_is_just_making_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "taod.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("store.database.time.sleep", lambda _: other.in_transaction and other.execute("ROLLBACK"))
    store = Store.open(path)
    other.close()
    assert store._database.row("PRAGMA journal_mode") == ("wal",)
    store.close()


def test_a_file_that_is_no_database_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "taod.db"
    path.write_bytes(b"a shopping list, and not a short one\n" * 100)
    with pytest.raises(ConfigError, match=r"taod\.db cannot be opened"):
        Store.open(path)


def test_every_table_is_strict_and_every_reference_indexed(store: Store) -> None:
    database = store._database
    tables = database.rows("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    ours = [(name, sql) for name, sql in tables if name != TABLE]
    assert ours and all("STRICT" in sql.rpartition(")")[2] for _, sql in ours)
    for name, _ in ours:
        first_columns = {
            database.rows(f"PRAGMA index_info({index[1]!r})")[0][2]
            for index in database.rows(f"PRAGMA index_list({name})")
        }
        references = {row[3] for row in database.rows(f"PRAGMA foreign_key_list({name})")}
        assert references <= first_columns, name
