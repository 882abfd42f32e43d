"""`taod mcp`: the daemon's datasets, models and jobs as tools for agents."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from taod import installed
from taod.cli.support.options import connected, daemon_options


@click.command()
@daemon_options
@click.option("--write", is_flag=True, help="Offer tools that create, change, run and cancel, too.")
def mcp(root: Path | None, url: str | None, token: str | None, write: bool) -> None:
    """Serve the Model Context Protocol on standard input and output, for an agent that starts this command.

    Without --write, no tool changes anything.
    """
    try:
        from taod.cli.support import agent_server
    except ImportError as error:
        raise click.ClickException(f"{error}: {installed.add('mcp')}") from None
    connected(root, url, token, lambda client: agent_server.serve(client, write=write))
