"""Options that commands share: which root, which daemon, which configuration, which part of a list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from taod.client.find import find
from taod.config import Config, load

if TYPE_CHECKING:
    from taod.client.http import Client

Command = TypeVar("Command", bound=Callable[..., Any])

root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="The daemon's root folder; else TAOD_ROOT, taod.toml, or the user's data folder.",
)
config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A taod.toml; else the one here, else the one in the user's config folder.",
)


def configured(config_file: Path | None = None, root: Path | None = None, **overrides: Any) -> Config:
    """The configuration with the command line's say over it."""
    given = {"storage.root": str(root.absolute()) if root else None, **overrides}
    return load(config_file, overrides=given)


def absolute(path: Path) -> str:
    """A path of the command line for a daemon that works in another folder."""
    return str(path.expanduser().absolute())


def daemon_options(command: Command) -> Command:
    """`--root`, or `--url` with `--token`: which daemon a client command speaks to."""
    for option in (
        click.option("--token", envvar="TAOD_TOKEN", help="The bearer token, or a login key, for --url."),
        click.option("--url", envvar="TAOD_URL", help="A daemon's address, instead of one found by its root."),
        root_option,
    ):
        command = option(command)
    return command


def one_of(kind: type[StrEnum]) -> click.Choice[str]:
    """A value of an enumeration, as the API writes it."""
    return click.Choice([member.value for member in kind])


def list_options(sorts: type[StrEnum]) -> Callable[[Command], Command]:
    """`--size`, `--skip` and `--sort` for a list."""

    def decorate(command: Command) -> Command:
        for option in (
            click.option("--sort", type=one_of(sorts), help="Order; the newest first without it."),
            click.option("--skip", type=click.IntRange(0), help="Leave out the first ones."),
            click.option("--size", type=click.IntRange(1), help="How many; 30 in a table, else all."),
        ):
            command = option(command)
        return command

    return decorate


def connected(root: Path | None, url: str | None, token: str | None, work: Callable[[Client], Awaitable[Any]]) -> None:
    """Find the daemon, and do `work` with a client of it. Raises NoDaemon."""

    def look() -> Any:
        return find(None if url else configured(root=root).root, url, token)

    info = look()

    async def run() -> None:
        from taod.client.http import Client  # Here: `taod serve` shares this module, and httpx is slow to load.

        async with Client.of(info, rediscover=None if url else look) as client:
            await work(client)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def with_client(work: Callable[..., Awaitable[Any]]) -> Callable[..., None]:
    """Make a click callback of `async work(client, **rest)`: finds the daemon, opens the client, closes it."""

    @daemon_options
    @wraps(work)
    def callback(root: Path | None, url: str | None, token: str | None, **rest: Any) -> None:
        connected(root, url, token, lambda client: work(client, **rest))

    return callback
