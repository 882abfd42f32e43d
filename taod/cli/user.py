"""`taod user`: users, their login keys and bearer tokens, written straight into the store of a root."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.table import Table

from store import Store
from store.records import UserRecord
from taod.cli.options import configured, root_option
from taod.clock import SystemClock
from taod.errors import BadRequest, NotFound
from taod.paths import Root


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
@root_option
def add(name: str, root: Path | None) -> None:
    """Make a user and print the key for the login endpoint. The key is shown this once."""
    with _store(root) as store:
        if store.users.by_name(name) is not None:
            raise BadRequest(f"there is a user {name!r} already; `taod user key {name}` makes another key")
        with store.transaction():
            made = store.users.add(name)
            key = _secret(store, made, "key", "login")
    click.echo(f"user {made.name} {made.id}\nkey  {key}")


@user.command("key")
@click.argument("name")
@root_option
def key(name: str, root: Path | None) -> None:
    """Make another login key for a user and print it, this once."""
    with _store(root) as store:
        click.echo(_secret(store, _find(store, name), "key", "login"))


@user.command("token")
@click.argument("name")
@click.option("--label", default="command line", show_default=True, help="What the token is for.")
@root_option
def token(name: str, label: str, root: Path | None) -> None:
    """Make a bearer token for a user and print it, this once."""
    with _store(root) as store:
        click.echo(_secret(store, _find(store, name), "bearer", label))


@user.command("ls")
@root_option
def ls(root: Path | None) -> None:
    """List users with their keys and tokens (not the secrets: nobody has them)."""
    table = Table("user", "id", "kind", "label", "made", "token id", box=None, pad_edge=False)
    with _store(root) as store:
        for each in store.users.all():
            table.add_row(each.name, each.id, "", "", each.created_on[:19], "")
            for one in store.users.tokens(each.id):
                table.add_row("", "", one.kind, one.label, one.created_on[:19], one.id)
    Console().print(table)


@user.command("revoke")
@click.argument("token_id")
@root_option
def revoke(token_id: str, root: Path | None) -> None:
    """Make a key or token worthless, at once."""
    with _store(root) as store:
        if not store.users.revoke(token_id):
            raise NotFound(f"there is no token {token_id!r}; `taod user ls` shows their ids")
    click.echo("Revoked.")


@user.command("rm")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@root_option
def rm(name: str, yes: bool, root: Path | None) -> None:
    """Delete a user who owns nothing any more, with every key and token."""
    with _store(root) as store:
        found = _find(store, name)
        if not yes:
            click.confirm(f"Delete user {found.name} with all keys and tokens?", abort=True)
        store.users.delete(found.id)
    click.echo("Deleted.")


def _secret(store: Store, owner: UserRecord, kind: str, label: str) -> str:
    made = secrets.token_urlsafe(32)
    store.users.add_token(owner.id, kind=kind, label=label, secret=made)
    return made
