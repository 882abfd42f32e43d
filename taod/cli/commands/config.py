"""`taod config`: the effective configuration, as TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from taod.cli.support.options import config_option, configured, root_option
from taod.cli.support.output import json_option, print_json
from taod.config import find
from taod.notify.targets import masked


@click.command()
@root_option
@config_option
@json_option
def config(root: Path | None, config_file: Path | None, as_json: bool) -> None:
    """Print every key with its effective value, and the file that was read. Addresses of notifications are masked."""
    effective = configured(config_file, root)
    values: dict[str, Any] = msgspec.to_builtins(effective)
    for target, shown in zip(effective.notify.target, values["notify"]["target"], strict=True):
        shown |= masked(target)
    if as_json:
        print_json(values)
        return
    click.echo(f"# read from {find(config_file) or 'no file: all defaults'}")
    click.echo(msgspec.toml.encode(values).decode().rstrip())
