"""`taod ptm`: pretrained models and their registered weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from taod.cli.support.options import absolute, with_client
from taod.cli.support.output import Columns, Output, short, with_output
from taod.cli.support.resolve import named
from taod.types.model import Ptm, PtmCreate

if TYPE_CHECKING:
    from taod.client import AsyncClient

COLUMNS: Columns[Ptm] = {
    "id": lambda ptm: short(ptm.id),
    "name": lambda ptm: ptm.name,
    "network": lambda ptm: ptm.network_arch,
    "ngc path": lambda ptm: ptm.ngc_path,
    "weights": lambda ptm: ptm.path or "—",
}


@click.group()
def ptm() -> None:
    """Pretrained models that trainings can start from: `taod model set MODEL ptm=ID`."""


@ptm.command("ls")
@click.option("--arch", help="Only pretrained models of this network architecture.")
@click.option("--registered", is_flag=True, help="Only those with weights that you have registered.")
@with_client
@with_output
async def ls(client: AsyncClient, out: Output, arch: str | None, registered: bool) -> None:
    """List pretrained models by network."""
    found = await client.ptms.list(arch)
    out.listing([ptm for ptm in found if ptm.path or not registered], COLUMNS)


@ptm.command("add")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--arch", required=True, help="Network architecture of the weights.")
@click.option("--ngc-path", default="", help="Catalogue entry of the weights (`taod ptm ls`); default: a new entry.")
@click.option("--name", help="Name of the entry.")
@with_client
@with_output
async def add(client: AsyncClient, out: Output, path: Path, arch: str, ngc_path: str, name: str | None) -> None:
    """Register weights on the daemon's machine, a file or a folder, for this user. They are used in place."""
    body = PtmCreate(absolute(path), arch, ngc_path, name)
    registered = await client.ptms.register(body)
    out.changed(
        registered,
        f"Registered {named('ptm', registered.id, registered.name)} for {registered.network_arch}: {registered.path}",
    )
