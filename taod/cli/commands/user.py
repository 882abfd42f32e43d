"""`taod user`: users, their login keys and bearer tokens, written straight into the store of a root."""

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


class Shown(msgspec.Struct):
    """A user with what opens for them; the secrets themselves are nowhere."""

    id: str
    name: str
    created_on: str
    tokens: list[TokenRecord]


class Opened(msgspec.Struct, omit_defaults=True):
    """A user and a secret made for them, shown this once."""

    id: str
    name: str
    key: str = ""
    token: str = ""


COLUMNS: Columns[tuple[Shown, TokenRecord | None]] = {
    "user": lambda row: "" if row[1] else row[0].name,
    "id": lambda row: "" if row[1] else row[0].id,
    "kind": lambda row: row[1].kind if row[1] else "",
    "label": lambda row: row[1].label if row[1] else "",
    "made": lambda row: moment((row[1] or row[0]).created_on),
    "token id": lambda row: row[1].id if row[1] else "",
}


@click.group()
def user() -> None:
    """Users of this root, the keys with which published clients log in, and bearer tokens."""


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
        raise NotFound(f"there is no user {name!r}; known: {known}")
    return found


@user.command("add")
@click.argument("name")
@json_option
@root_option
def add(name: str, root: Path | None, as_json: bool) -> None:
    """Make a user and print the key for the login endpoint. The key is shown this once."""
    with _store(root) as store:
        if store.users.by_name(name) is not None:
            raise BadRequest(f"there is a user {name!r} already; `taod user key {name}` makes another key")
        with store.lasting():
            made = store.users.add(name)
            key = _secret(store, made, "key", "login")
    if as_json:
        print_json(Opened(made.id, made.name, key=key))
    else:
        click.echo(f"user {made.name} {made.id}\nkey  {key}")


@user.command("key")
@click.argument("name")
@json_option
@root_option
def key(name: str, root: Path | None, as_json: bool) -> None:
    """Make another login key for a user and print it, this once."""
    with _store(root) as store:
        found = _find(store, name)
        made = _secret(store, found, "key", "login")
    if as_json:
        print_json(Opened(found.id, found.name, key=made))
    else:
        click.echo(made)


@user.command("token")
@click.argument("name")
@click.option("--label", default="command line", show_default=True, help="What the token is for.")
@json_option
@root_option
def token(name: str, label: str, root: Path | None, as_json: bool) -> None:
    """Make a bearer token for a user and print it, this once."""
    with _store(root) as store:
        found = _find(store, name)
        made = _secret(store, found, "bearer", label)
    if as_json:
        print_json(Opened(found.id, found.name, token=made))
    else:
        click.echo(made)


@user.command("ls")
@root_option
@with_output
def ls(out: Output, root: Path | None) -> None:
    """List users with their keys and tokens (not the secrets: nobody has them)."""
    with _store(root) as store:
        users = [_shown(store, each) for each in store.users.all()]
    if out.form is not out.form.TABLE:
        out.listing(users, {})
        return
    out.table([(each, one) for each in users for one in (None, *each.tokens)], COLUMNS)


@user.command("revoke")
@click.argument("token_id")
@root_option
def revoke(token_id: str, root: Path | None) -> None:
    """Make a key or token worthless, at once."""
    with _store(root) as store, store.lasting():
        if not store.users.revoke(token_id):
            raise NotFound(f"there is no token {token_id!r}; `taod user ls` shows their ids")
    click.echo("Revoked.")


@user.command("rm")
@click.argument("name")
@yes_option
@root_option
@with_output
def rm(out: Output, name: str, yes: bool, root: Path | None) -> None:
    """Delete a user who owns nothing any more, with every key and token."""
    with _store(root) as store:
        found = _shown(store, _find(store, name))
        confirm([f"Deletes user {found.name} with {number(len(found.tokens), 'secret')} (keys and tokens)."], yes)
        with store.lasting():
            store.users.delete(found.id)
    out.changed(found, f"Deleted user {found.name}.")


def _shown(store: Store, record: UserRecord) -> Shown:
    return Shown(record.id, record.name, record.created_on, store.users.tokens(record.id))


def _secret(store: Store, owner: UserRecord, kind: str, label: str) -> str:
    made = secrets.token_urlsafe(32)
    with store.lasting():
        store.users.add_token(owner.id, kind=kind, label=label, secret=made)
    return made
