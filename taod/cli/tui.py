"""`taod tui`: find the daemon, open the dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import rich_click as click

from taod.cli.options import configured, daemon_options
from taod.client.find import find


@click.command()
@daemon_options
@click.option("--look", type=click.Choice(["dark", "light"]), default="dark", envvar="TAOD_LOOK", help="Colours.")
@click.option("--ascii", "ascii_only", is_flag=True, default=None, help="Draw with ASCII signs; asks the locale else.")
@click.option("--bell/--no-bell", default=True, help="Ring the terminal's bell when a job ends.")
def tui(
    root: Path | None,
    url: str | None,
    token: str | None,
    look: Literal["dark", "light"],
    ascii_only: bool | None,
    bell: bool,
) -> None:
    """Open the dashboard of a running daemon; closing it stops nothing. NO_COLOR in the environment is kept to."""
    info = find(None if url else configured(root=root).root, url, token)
    from tui.main import run

    run(info, look=look, bell=bell, ascii_only=ascii_only)
