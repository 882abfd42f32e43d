"""Users and tokens: what is kept of a secret, and who it lets in."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from store import Store
from taod.errors import BadRequest, Conflict


def test_a_user_is_found_by_id_and_by_name(store: Store) -> None:
    ada = store.users.add("ada")
    assert store.users.get(ada.id) == store.users.by_name("ada") == ada
    assert store.users.get("unknown") is None
    store.users.add("Zoe")
    assert [user.name for user in store.users.all()] == ["Zoe", "ada"]


def test_a_name_is_given_once(store: Store) -> None:
    store.users.add("ada")
    with pytest.raises(Conflict, match="'ada'"):
        store.users.add("ada")


def test_a_token_lets_its_user_in_by_its_kind_until_revoked(store: Store) -> None:
    ada = store.users.add("ada")
    token = store.users.add_token(ada.id, kind="bearer", label="laptop", secret="s3cret")
    assert store.users.by_token("s3cret", kind="bearer") == (ada, token)
    assert store.users.by_token("s3cret", kind="key") is None
    assert store.users.by_token("S3cret", kind="bearer") is None
    assert store.users.tokens(ada.id) == [token]
    assert store.users.revoke(token.id)
    assert not store.users.revoke(token.id)
    assert store.users.by_token("s3cret", kind="bearer") is None


def test_the_secret_itself_is_nowhere_in_the_files(store: Store, tmp_path: Path) -> None:
    ada = store.users.add("ada")
    store.users.add_token(ada.id, kind="bearer", label="laptop", secret="a-very-telling-secret")
    assert all(b"a-very-telling-secret" not in file.read_bytes() for file in tmp_path.iterdir())


def test_the_files_are_the_owners_alone(store: Store, tmp_path: Path) -> None:
    store.users.add("ada")
    assert {oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()} == {"0o600"}


def test_a_token_of_an_unknown_user_is_rejected(store: Store) -> None:
    with pytest.raises(Conflict):
        store.users.add_token("unknown", kind="bearer", label="", secret="x")


def test_text_that_is_no_text_is_rejected_with_an_explanation(store: Store) -> None:
    with pytest.raises(BadRequest, match="surrogate"):
        store.users.add("half \ud800 pair")


def test_another_process_may_write_while_the_store_is_open(store: Store, tmp_path: Path) -> None:
    store.users.add("ada")
    other = Store.open(tmp_path / "taod.db")
    other.users.add("from outside")
    other.close()
    assert store.users.by_name("from outside") is not None


def test_a_reader_is_not_blocked_by_an_open_transaction(store: Store, tmp_path: Path) -> None:
    with store.transaction():
        store.users.add("ada")
        reader = sqlite3.connect(tmp_path / "taod.db", timeout=0)
        assert reader.execute("SELECT count(*) FROM users").fetchone() == (0,)
        reader.close()
