"""`taod network`: what the catalogue has, and which runner can do each action here."""

from __future__ import annotations

import rich_click as click
from rich.console import Console
from rich.table import Table

from taod.cli.network_show import show
from taod.cli.options import with_client
from taod.client.http import Client


@click.group()
def network() -> None:
    """Network architectures and data set types."""


network.add_command(show)


@network.command("ls")
@click.option("--runnable", is_flag=True, help="Only those with an action that something here can run.")
@with_client
async def ls(client: Client, runnable: bool) -> None:
    """List networks with their actions; an action that a runner can do here is followed by its name."""
    table = Table("network", "data", "image", "actions", box=None, pad_edge=False)
    for each in await client.networks():
        if runnable and not any(action.runners for action in each.actions):
            continue
        actions = ", ".join(
            f"{action.name} [green]({action.runners[0]})[/]" if action.runners else f"[dim]{action.name}[/]"
            for action in each.actions
        )
        table.add_row(each.name, each.dataset_type, each.image, actions)
    Console().print(table)
