"""`taod network show`: one network's actions, or the parameters of one of them."""

from __future__ import annotations

import msgspec
import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from taod.cli.options import with_client
from taod.client.http import Client
from taod.types.network import NetworkInfo, ParameterInfo


@click.command("show")
@click.argument("name")
@click.argument("action", required=False)
@click.option("--popular", is_flag=True, help="Only the parameters that are changed most.")
@click.option("--required", is_flag=True, help="Only the parameters that must be given.")
@click.option("--automl", is_flag=True, help="Only the parameters that AutoML sweeps by default.")
@click.option("--hidden", is_flag=True, help="Also the parameters that taod fills in itself.")
@click.option("--grep", "text", help="Only parameters with this in their path, title or description.")
@click.option("--json", "as_json", is_flag=True, help="The API's answer instead of tables.")
@with_client
async def show(
    client: Client,
    name: str,
    action: str | None,
    popular: bool,
    required: bool,
    automl: bool,
    hidden: bool,
    text: str | None,
    as_json: bool,
) -> None:
    """Show network NAME: its actions, what may follow what, and who can run it here; with ACTION its parameters."""
    filtered = popular or required or automl or hidden or text is not None
    if action is None and not filtered:
        info = await client.network(name)
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(info)).decode())
        else:
            _show_network(Console(), info)
        return
    rows = await client.parameters(
        name,
        action,
        popular=popular or None,
        required=required or None,
        automl=automl or None,
        hidden=hidden or None,
        text=text,
    )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
    else:
        _show_parameters(Console(), rows, with_actions=action is None)


def _show_network(console: Console, info: NetworkInfo) -> None:
    console.print(
        f"[bold]{info.name}[/]: {info.dataset_type} ({', '.join(info.formats)}), image {info.image}, "
        f"{info.spec_format} specifications" + (f", metric {escape(info.metric)}" if info.metric else ""),
        highlight=False,
    )
    table = Table("action", "may follow", "runners here", "specification", box=None, pad_edge=False)
    for action in info.actions:
        follows = ", ".join(action.may_follow) + (" (needs one)" if action.needs_parent else "")
        table.add_row(
            action.name, follows, ", ".join(action.runners) or "[dim]none[/]", "yes" if action.takes_spec else "no"
        )
    console.print(table)


def _show_parameters(console: Console, rows: list[ParameterInfo], *, with_actions: bool) -> None:
    columns = ["parameter", "value", "default", *(["actions"] if with_actions else []), "what it is"]
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        default = "" if row.default is None else msgspec.json.encode(row.default).decode()
        actions = [", ".join(row.actions)] if with_actions else []
        table.add_row(
            escape(row.path) + _marks(row), escape(_value(row)), escape(default), *actions, escape(row.description)
        )
    console.print(table)
    console.print(f"{len(rows)} parameters", style="dim", highlight=False)


def _marks(row: ParameterInfo) -> str:
    marks = {"!": row.required, "*": row.popular, "~": row.automl}
    shown = "".join(mark for mark, has in marks.items() if has)
    return f" [yellow]{shown}[/]" if shown else ""


def _value(row: ParameterInfo) -> str:
    if row.constant:
        return "fixed"
    if row.options:
        return " | ".join(map(str, row.options))
    low, high = ("" if bound is None else f"{bound:g}" for bound in (row.minimum, row.maximum))
    span = f" {low}…{high}" if low or high else ""
    factor = f" / {row.multiple_of}" if row.multiple_of else ""
    return f"{row.type}{span}{factor}"
