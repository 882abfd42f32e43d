"""`taod stop`: stop the daemon of a root and wait for its end."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import rich_click as click

from taod.cli.support.options import configured, root_option
from taod.client.find import find

TIMEOUT_S = 60
"""Limit of the wait for a daemon that does not wait for its runs."""


@click.command()
@root_option
@click.option("--drain", is_flag=True, help="Start no more jobs, and stop when the current runs have ended.")
@click.option("--cancel-all", is_flag=True, help="Cancel every job that has not ended, then stop.")
def stop(root: Path | None, drain: bool, cancel_all: bool) -> None:
    """Stop the daemon. By default its runs continue, and the next `taod serve` on the same root re-adopts them.

    --drain waits for the current runs without a limit; a second `taod stop` ends that wait.
    """
    if drain and cancel_all:
        raise click.UsageError("--drain waits for the runs that --cancel-all would cancel: use one of them")
    info = find(configured(root=root).root, None, None)
    number = signal.SIGUSR1 if drain else signal.SIGUSR2 if cancel_all else signal.SIGTERM
    ended = os.pidfd_open(info.pid)
    try:
        signal.pidfd_send_signal(ended, number)
        if drain:
            click.echo(f"Waiting for the runs of {info.root}; no more jobs are started.")
        gone, _, _ = select.select([ended], [], [], None if drain or cancel_all else TIMEOUT_S)
    finally:
        os.close(ended)
    if not gone:
        raise click.ClickException(f"the daemon (pid {info.pid}) has not ended within {TIMEOUT_S} s; see {info.root}")
    runs = "Its runs have ended." if drain or cancel_all else "Its runs, if any, continue."
    click.echo(f"Stopped the daemon of {info.root}. {runs}")
