"""`taod stop`: end the daemon of a root and wait until it has ended."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import rich_click as click

from taod.cli.options import configured, root_option
from taod.client.find import find

PATIENCE_S = 15


@click.command()
@root_option
def stop(root: Path | None) -> None:
    """Stop the daemon. Runs go on; the next `taod serve` on the same root takes them up again."""
    info = find(configured(root=root).root, None, None)
    ended = os.pidfd_open(info.pid)
    try:
        os.kill(info.pid, signal.SIGTERM)
        gone, _, _ = select.select([ended], [], [], PATIENCE_S)
    finally:
        os.close(ended)
    if not gone:
        raise click.ClickException(f"the daemon (pid {info.pid}) has not ended in {PATIENCE_S} s; see {info.root}")
    click.echo(f"Stopped the daemon of {info.root}. Its runs, if any, go on.")
