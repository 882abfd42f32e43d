"""`taod tui`: find the daemon, open the dashboard."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from taod.cli.options import configured, daemon_options
from taod.client.find import find


@click.command()
@daemon_options
def tui(root: Path | None, url: str | None, token: str | None) -> None:
    """Open the dashboard of a running daemon; closing it stops nothing."""
    info = find(None if url else configured(root=root).root, url, token)
    from tui.main import run

    run(info)
