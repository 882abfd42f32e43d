"""Work beside the event loop reads a snapshot of the store; each lane waits for itself only."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import Store
from store.database import ROW_BYTES
from taod.errors import StoreLost
from taod.services.snapshots import SHORT_BYTES, THREADS, Snapshots
from tests.patience import PATIENCE_S


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "taod.db")
    yield opened
    opened.close()


@pytest.fixture
def snapshots(store: Store) -> Iterator[Snapshots]:
    made = Snapshots(store)
    yield made
    made.close()


async def test_what_is_written_during_the_work_is_not_seen_by_it(store: Store, snapshots: Snapshots) -> None:
    store.users.add("ada")
    reading, written = threading.Event(), threading.Event()

    def work() -> list[int]:
        first = len(store.users.all())
        reading.set()
        assert written.wait(PATIENCE_S)
        return [first, len(store.users.all())]

    running = asyncio.create_task(snapshots.run("ada", work))
    await asyncio.to_thread(reading.wait, PATIENCE_S)
    store.users.add("bob")
    written.set()
    assert await running == [1, 1]
    assert await snapshots.run("ada", lambda: len(store.users.all())) == 2


async def test_the_work_cannot_write(store: Store, snapshots: Snapshots) -> None:
    with pytest.raises(AssertionError, match="only read"):
        await snapshots.run("ada", store.users.add, "eve")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await snapshots.run("ada", store._database.write, "DELETE FROM users")
    assert store.users.all() == []


async def test_a_lane_waits_for_itself_only(snapshots: Snapshots) -> None:
    gate = threading.Event()
    first = asyncio.create_task(snapshots.run("ada", gate.wait, PATIENCE_S))
    more = [asyncio.create_task(snapshots.run("ada", lambda: None)) for _ in range(3 * THREADS)]
    assert await snapshots.run("bob", lambda: "served") == "served"
    assert not any(each.done() for each in (first, *more))
    gate.set()
    await asyncio.gather(first, *more)
    assert snapshots._lanes._turns == {}


async def test_an_error_is_raised_and_ends_the_turn(snapshots: Snapshots) -> None:
    with pytest.raises(ZeroDivisionError):
        await snapshots.run("ada", lambda: 1 // 0)
    assert await snapshots.run("ada", lambda: 1) == 1


async def test_a_store_in_memory_is_read_at_once() -> None:
    store = Store.open(None)
    store.users.add("ada")
    main = threading.current_thread()
    assert await Snapshots(store).run("ada", lambda: (len(store.users.all()), threading.current_thread())) == (1, main)


async def test_a_store_that_is_closed_during_the_work_is_closed_at_its_end(store: Store, snapshots: Snapshots) -> None:
    reading, closed = threading.Event(), threading.Event()

    def work() -> int:
        reading.set()
        assert closed.wait(PATIENCE_S)
        return len(store.users.all())

    running = asyncio.create_task(snapshots.run("ada", work))
    await asyncio.to_thread(reading.wait, PATIENCE_S)
    store.close()
    closed.set()
    assert await running == 0
    (reader,) = store._database._readers
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        reader.connection.execute("SELECT 1")


async def test_a_database_that_was_moved_away_is_reported_until_it_is_back(store: Store, tmp_path: Path) -> None:
    path, away = tmp_path / "taod.db", tmp_path / "away.db"
    path.rename(away)
    made = Snapshots(store)
    with pytest.raises(StoreLost, match="cannot be opened"):
        await made.run("ada", store.users.all)
    away.rename(path)
    assert await made.run("ada", store.users.all) == []
    made.close()


async def test_little_is_read_on_the_event_loop_and_much_in_a_thread(store: Store, snapshots: Snapshots) -> None:
    threads: list[int] = []

    def work() -> int:
        threads.append(threading.get_ident())
        return len(store.users.all())

    store.users.add("ada")
    assert await snapshots.read("ada", work) == 1
    assert threads == [threading.get_ident()]
    with store.transaction():
        for number in range(SHORT_BYTES // ROW_BYTES):
            store.users.add(f"user {number}")
    assert await snapshots.read("ada", work) == 1 + SHORT_BYTES // ROW_BYTES
    here, first, second = threads
    assert here == first == threading.get_ident() != second


async def test_a_long_text_is_not_read_on_the_event_loop(store: Store, snapshots: Snapshots) -> None:
    on_loop: list[bool] = []
    long = f"SELECT '{'x' * SHORT_BYTES}'"

    def work() -> str | None:
        on_loop.append(threading.current_thread() is threading.main_thread())
        row = store._database.row(long)
        return None if row is None else str(row[0])

    assert len(await snapshots.read("ada", work) or "") == SHORT_BYTES
    assert on_loop == [True, False]
    assert store._database.row(long) is not None, "outside the block nothing is counted"


async def test_a_short_read_cannot_write(store: Store, snapshots: Snapshots) -> None:
    with pytest.raises(AssertionError, match="writes nothing"):
        await snapshots.read("ada", store.users.add, "eve")
    store.users.add("eve")
