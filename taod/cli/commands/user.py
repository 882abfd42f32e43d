"""`taod user`: users, login keys and bearer tokens, written directly to the store of a root."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import rich_click as click

from store import Store
from store.records import TokenRecord, UserRecord
from taod.cli.support.options import configured, root_option
from taod.cli.support.output import (
    Columns,
    Output,
    confirm,
    json_option,
    moment,
    number,
    print_json,
    with_output,
    yes_option,
)
from taod.clock import SystemClock
from taod.errors import BadRequest, NotFound
from taod.paths import Root


class UserWithTokens(msgspec.Struct):
    """A user with their keys and tokens, without the secrets, which are not stored."""

    id: str
    name: str
    created_on: str
    tokens: list[TokenRecord]


class UserWithSecret(msgspec.Struct, omit_defaults=True):
    """A user and a new secret, which is shown only once."""

    id: str
    name: str
    key: str = ""
    token: str = ""


COLUMNS: Columns[tuple[UserWithTokens, TokenRecord | None]] = {
    "user": lambda row: "" if row[1] else row[0].name,
    "id": lambda row: "" if row[1] else row[0].id,
    "kind": lambda row: row[1].kind if row[1] else "",
    "label": lambda row: row[1].label if row[1] else "",
    "created": lambda row: moment((row[1] or row[0]).created_on),
    "last used": lambda row: moment(row[1].last_used_on) if row[1] else "",
    "token id": lambda row: row[1].id if row[1] else "",
}


@click.group()
def user() -> None:
    """Users of this root, login keys for published clients, and bearer tokens."""


@contextmanager
def _store(root_folder: Path | None) -> Iterator[Store]:
    root = Root(configured(root=root_folder).root)
    root.make()
    store = Store.open(root.database, clock=SystemClock())
    try:
        yield store
    finally:
        store.close()


def _find(store: Store, name: str) -> UserRecord:
    found = store.users.by_name(name) or store.users.get(name)
    if found is None:
        known = ", ".join(each.name for each in store.users.all()) or "none yet"
        raise NotFound(f"user {name!r} not found; known: {known}")
    return found


@user.command("add")
@click.argument("name")
@json_option
@root_option
def add(name: str, root: Path | None, as_json: bool) -> None:
    """Create a user and print a key for the login endpoint. The key is shown only once."""
    with _store(root) as store:
        if store.users.by_name(name) is not None:
            raise BadRequest(f"user {name!r} already exists; `taod user key {name}` creates another key")
        with store.durable():
            created = store.users.add(name)
            key = _new_secret(store, created, "key", "login")
    if as_json:
        print_json(UserWithSecret(created.id, created.name, key=key))
    else:
        click.echo(f"user {created.name} {created.id}\nkey  {key}")


@user.command("key")
@click.argument("name")
@json_option
@root_option
def key(name: str, root: Path | None, as_json: bool) -> None:
    """Create another login key for a user and print it. It is shown only once."""
    with _store(root) as store:
        found = _find(store, name)
        secret = _new_secret(store, found, "key", "login")
    if as_json:
        print_json(UserWithSecret(found.id, found.name, key=secret))
    else:
        click.echo(secret)


@user.command("token")
@click.argument("name")
@click.option("--label", default="command line", show_default=True, help="What the token is for.")
@json_option
@root_option
def token(name: str, label: str, root: Path | None, as_json: bool) -> None:
    """Create a bearer token for a user and print it. It is shown only once."""
    with _store(root) as store:
        found = _find(store, name)
        secret = _new_secret(store, found, "bearer", label)
    if as_json:
        print_json(UserWithSecret(found.id, found.name, token=secret))
    else:
        click.echo(secret)


@user.command("ls")
@root_option
@with_output
def ls(out: Output, root: Path | None) -> None:
    """List users with their keys and tokens, without the secrets, which are not stored."""
    with _store(root) as store:
        users = [_with_tokens(store, each) for each in store.users.all()]
    if out.form is not out.form.TABLE:
        out.listing(users, {})
        return
    out.table([(each, one) for each in users for one in (None, *each.tokens)], COLUMNS)


@user.command("revoke")
@click.argument("token_id")
@root_option
def revoke(token_id: str, root: Path | None) -> None:
    """Revoke a key or token immediately."""
    with _store(root) as store, store.durable():
        if not store.users.revoke(token_id):
            raise NotFound(f"token {token_id!r} not found; `taod user ls` shows their ids")
    click.echo("Revoked.")


@user.command("rm")
@click.argument("name")
@yes_option
@root_option
@with_output
def rm(out: Output, name: str, yes: bool, root: Path | None) -> None:
    """Delete a user without datasets, models and jobs, with all keys and tokens."""
    with _store(root) as store:
        found = _with_tokens(store, _find(store, name))
        confirm([f"Deletes user {found.name} with {number(len(found.tokens), 'secret')} (keys and tokens)."], yes)
        with store.durable():
            store.users.delete(found.id)
    out.changed(found, f"Deleted user {found.name}.")


def _with_tokens(store: Store, record: UserRecord) -> UserWithTokens:
    return UserWithTokens(record.id, record.name, record.created_on, store.users.tokens(record.id))


def _new_secret(store: Store, owner: UserRecord, kind: str, label: str) -> str:
    secret = secrets.token_urlsafe(32)
    with store.durable():
        store.users.add_token(owner.id, kind=kind, label=label, secret=secret)
    return secret
