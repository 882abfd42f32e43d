"""`taod tui`: open the dashboard of a running daemon."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Literal

import rich_click as click

from taod.cli.support import background
from taod.cli.support.options import configured, daemon_options
from taod.client.errors import NoDaemon
from taod.client.find import find, serving


@click.command()
@daemon_options
@click.option("--look", type=click.Choice(["dark", "light"]), default="dark", envvar="TAOD_LOOK", help="Colours.")
@click.option(
    "--ascii", "ascii_only", is_flag=True, default=None, help="Draw with ASCII characters; default: by the locale."
)
@click.option("--bell/--no-bell", default=True, help="Ring the terminal's bell when a job ends.")
@click.option("--web", is_flag=True, help="Serve the dashboard to a browser on this machine, protected by a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port for --web; 0 chooses a free port.")
def tui(
    root: Path | None,
    url: str | None,
    token: str | None,
    look: Literal["dark", "light"],
    ascii_only: bool | None,
    bell: bool,
    web: bool,
    port: int,
) -> None:
    """Open the dashboard of a running daemon; closing it stops no job. NO_COLOR in the environment is respected."""
    gc.disable()  # Objects loaded at startup stay alive.
    folder = None if url else configured(root=root).root
    # The dashboard itself reports a daemon that runs but does not answer, and waits for it.
    try:
        info = serving(folder) if folder is not None and not web else find(folder, url, token)
    except NoDaemon as error:
        if folder is None or not sys.stdin.isatty():
            raise
        click.echo(f"taod: {error}", err=True)
        click.confirm("Start a daemon in the background?", default=True, abort=True, err=True)
        click.echo(background.start("--root", str(folder))[1])
        info = serving(folder)
    if web:
        from tui.web import serve

        if url and token:  # every user of the machine could read it on a command line
            os.environ["TAOD_TOKEN"] = token
        where = ["--url", url] if url else ["--root", str(folder)]
        serve([*where, "--look", look, "--bell" if bell else "--no-bell"], port, say=click.echo)
        return
    from tui.main import run

    run(info, look=look, bell=bell, ascii_only=ascii_only)
