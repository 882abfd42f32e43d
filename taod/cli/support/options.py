"""Options that commands share: root, daemon, configuration, and the part of a list."""

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
    from taod.client import AsyncClient
    from taod.types.common import DaemonInfo

Command = TypeVar("Command", bound=Callable[..., Any])

root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="The daemon's root folder; default: TAOD_ROOT, taod.toml, or the user's data folder.",
)
config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A taod.toml; default: the one here, or the one in the user's config folder.",
)


def configured(config_file: Path | None = None, root: Path | None = None, **overrides: Any) -> Config:
    """The configuration; options of the command line override it."""
    given = {"storage.root": str(root.absolute()) if root else None, **overrides}
    return load(config_file, overrides=given)


def absolute(path: Path) -> str:
    """An absolute path for the daemon, whose working folder differs."""
    return str(path.expanduser().absolute())


def daemon_options(command: Command) -> Command:
    """Add `--root`, `--url` and `--token`, which select the daemon of a client command."""
    for option in (
        click.option("--token", envvar="TAOD_TOKEN", help="Bearer token or login key for --url."),
        click.option("--url", envvar="TAOD_URL", help="Address of the daemon, instead of --root."),
        root_option,
    ):
        command = option(command)
    return command


def one_of(kind: type[StrEnum]) -> click.Choice[str]:
    """A click choice of the values of an enumeration."""
    return click.Choice([member.value for member in kind])


def list_options(sorts: type[StrEnum]) -> Callable[[Command], Command]:
    """Add `--size`, `--skip` and `--sort` to a list command."""

    def decorate(command: Command) -> Command:
        for option in (
            click.option("--sort", type=one_of(sorts), help="Order; default: newest first."),
            click.option("--skip", type=click.IntRange(0), help="Skip this many."),
            click.option("--size", type=click.IntRange(1), help="Number of items; default: 30 in a table, else all."),
        ):
            command = option(command)
        return command

    return decorate


def connected(
    root: Path | None, url: str | None, token: str | None, work: Callable[[AsyncClient], Awaitable[Any]]
) -> None:
    """Find the daemon and run `work` with its client. Raises NoDaemon."""

    def discover() -> DaemonInfo:
        return find(None if url else configured(root=root).root, url, token)

    info = discover()

    async def run() -> None:
        from taod.client import AsyncClient  # `taod serve` imports this module too, and httpx is slow to import.

        async with AsyncClient.from_info(info, rediscover=None if url else discover) as client:
            await work(client)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def with_client(work: Callable[..., Awaitable[Any]]) -> Callable[..., None]:
    """Turn `async work(client, **rest)` into a click callback that finds the daemon and opens a client."""

    @daemon_options
    @wraps(work)
    def callback(root: Path | None, url: str | None, token: str | None, **rest: Any) -> None:
        connected(root, url, token, lambda client: work(client, **rest))

    return callback
