"""Options that commands share: which root, which daemon, which configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from taod.client.find import find
from taod.config import Config, load

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


def daemon_options(command: Command) -> Command:
    """`--root`, or `--url` with `--token`: which daemon a client command speaks to."""
    for option in (
        click.option("--token", envvar="TAOD_TOKEN", help="The bearer token for --url."),
        click.option("--url", envvar="TAOD_URL", help="A daemon's address, instead of one found by its root."),
        root_option,
    ):
        command = option(command)
    return command


def with_client(work: Callable[..., Awaitable[Any]]) -> Callable[..., None]:
    """Make a click callback of `async work(client, **rest)`: finds the daemon, opens the client, closes it."""

    @daemon_options
    @wraps(work)
    def callback(root: Path | None, url: str | None, token: str | None, **rest: Any) -> None:
        from taod.client.http import Client  # Here, because `taod serve` shares this module and httpx is slow to load.

        info = find(None if url else configured(root=root).root, url, token)

        async def run() -> None:
            async with Client.of(info) as client:
                await work(client, **rest)

        try:
            asyncio.run(run())
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return callback
