"""Weights of pretrained models in the store: each user has own ones, and an older file's are carried over."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from store import Store
from store.database import Database
from store.migrations import STEPS, migrate
from store.records import ResourceFilter
from tests.store.conftest import Maker

BEFORE = ("first_schema", "lists_from_indices")


def test_users_have_own_weights_of_one_entry(store: Store, make: Maker) -> None:
    ada, bob, entry = make.user("ada").id, make.user("bob").id, make.ptm()
    store.models.register_weights(ada, entry.id, "/ada/1")
    store.models.register_weights(ada, entry.id, "/ada/2")
    store.models.register_weights(bob, entry.id, "/bob/1")
    assert store.models.weights(ada) == {entry.id: "/ada/2"}
    assert store.models.weights(bob) == {entry.id: "/bob/1"}


def test_an_entry_that_is_not_public_is_seen_by_who_registered_it_and_goes_with_them(store: Store, make: Maker) -> None:
    ada, bob = make.user("ada").id, make.user("bob").id
    entry = make.model("found", user_id=None, read_only=True, ngc_path="local/dino:found")
    store.models.register_weights(bob, entry.id, "/bob/1")
    make.model("bob's", user_id=bob, ptm=[entry.id])
    assert store.models.get(bob, entry.id) == entry
    assert store.models.get(ada, entry.id) is None
    assert store.models.ptms(bob) == [entry]
    assert store.models.ptms(ada) == []
    assert store.models.list(bob, ResourceFilter(name="found")) == ([entry], 1)
    assert store.models.list(ada, ResourceFilter(name="found")) == ([], 0)
    assert store.users.delete(bob)
    assert store.models.ptm_ids(public=False) == set()


def test_weights_of_an_older_file_go_to_who_uses_them_else_to_the_first_user(tmp_path: Path) -> None:
    path = tmp_path / "taod.db"
    database = Database(path)
    migrate(database, {name: STEPS[name] for name in BEFORE})
    for number, user in enumerate(("first", "second", "third")):
        database.write("INSERT INTO users VALUES (?, ?, ?)", [user, user, f"2024-01-0{number + 1}"])
    for entry, weights in (("used", "/w/used"), ("idle", "/w/idle"), ("none", None)):
        _old_model(database, entry, None, weights)
    for user in ("second", "third"):
        _old_model(database, f"of {user}", user, None)
        for position, entry in enumerate(("used", "none")):
            database.write("INSERT INTO model_ptms VALUES (?, ?, ?)", [f"of {user}", position, entry])
    database.close()

    store = Store.open(path)
    weights = {user: store.models.weights(user) for user in ("first", "second", "third")}
    assert weights == {"first": {"idle": "/w/idle"}, "second": {"used": "/w/used"}, "third": {"used": "/w/used"}}
    assert [ptm.id for ptm in store.models.ptms("first")] == ["idle", "none"]
    assert [ptm.id for ptm in store.models.ptms("third")] == ["none", "used"]
    store.close()


def _old_model(database: Database, name: str, user_id: str | None, weights: str | None) -> None:
    database.connection.row_factory = sqlite3.Row
    values = {
        row["name"]: 0 if row["type"] == "INTEGER" else "x"
        for row in database.rows("PRAGMA table_info(models)")
        if row["notnull"]
    }
    database.connection.row_factory = None
    values |= {"id": name, "name": name, "user_id": user_id, "weights_path": weights, "public": int(user_id is None)}
    columns = ", ".join(values)
    database.write(f"INSERT INTO models ({columns}) VALUES ({', '.join('?' * len(values))})", [*values.values()])
