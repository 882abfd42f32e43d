"""`taod network`: networks of the catalogue, their parameters, and the runners for each action."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import rich_click as click

from taod.cli.support.options import connected, daemon_options, with_client
from taod.cli.support.output import Columns, Output, print_json, with_output
from taod.errors import NotFound
from taod.types.network import ActionInfo, NetworkInfo
from taod.types.parameter import notable

if TYPE_CHECKING:
    from rich.text import Text

    from taod.client import AsyncClient


def _actions(network: NetworkInfo) -> Text:
    from rich.text import Text

    shown = []
    for action in network.actions:
        text = Text(action.name, "" if action.runners else "dim")
        if action.runners:
            text.append(f" ({action.runners[0]})", "green")
        shown.append(text)
    return Text(", ").join(shown)


COLUMNS: Columns[NetworkInfo] = {
    "network": lambda network: network.name,
    "data": lambda network: network.dataset_type,
    "image": lambda network: network.image,
    "release": lambda network: network.release,
    "actions": _actions,
    "tool": lambda network: ", ".join(dict.fromkeys(action.tool for action in network.actions if action.tool)),
}
ACTIONS: Columns[ActionInfo] = {
    "action": lambda action: action.name,
    "runners here": lambda action: ", ".join(action.runners) or "—",
    "tool": lambda action: action.tool,
    "specification": lambda action: "yes" if action.takes_spec else "none",
}


class Parameter(msgspec.Struct):
    """One parameter of a specification, as its schema describes it."""

    path: str
    type: str
    default: Any = None
    limits: str = ""
    popular: bool = False
    notable: bool = False
    """Whether `--popular` lists it."""
    required: bool = False
    description: str = ""


PARAMETERS: Columns[Parameter] = {
    "parameter": lambda each: each.path + (" *" if each.required else ""),
    "type": lambda each: each.type,
    "default": lambda each: "" if each.default is None else msgspec.json.encode(each.default).decode(),
    "limits": lambda each: each.limits,
    "description": lambda each: each.description,
}


@click.group()
def network() -> None:
    """Network architectures and dataset types."""


@network.command("ls")
@click.option("--runnable", is_flag=True, help="Only networks with an action that a runner here can run.")
@click.option("--release", help="Release of NVIDIA's tools: 5.0 (default) or 7.3.")
@with_client
@with_output
async def ls(client: AsyncClient, out: Output, runnable: bool, release: str | None) -> None:
    """List networks with their actions. A runner that can run an action here follows it in brackets."""
    found = await client.networks.list(release)
    wanted = [each for each in found if not runnable or any(action.runners for action in each.actions)]
    if out.form is out.form.IDS:
        out.ids(each.name for each in wanted)
    else:
        out.listing(wanted, COLUMNS)


@network.command("show")
@click.argument("name")
@click.argument("action", required=False)
@click.option(
    "--popular",
    is_flag=True,
    help="Only the parameters that the dashboard shows first: popular, usual, required, or varied by sweeps.",
)
@click.option("--release", help="With ACTION: the release of NVIDIA's tools; default: the first that has the network.")
@daemon_options
@with_output
def show(
    out: Output,
    name: str,
    action: str | None,
    popular: bool,
    release: str | None,
    root: Path | None,
    url: str | None,
    token: str | None,
) -> None:
    """Show a network with its actions and their runners; with ACTION, its parameters (without a daemon)."""
    if action is not None:
        _parameters(out, name, action, popular, release)
        return
    if popular:
        raise click.UsageError("--popular needs an ACTION")

    async def work(client: AsyncClient) -> None:
        found = await client.networks.get(name)
        if out.form is out.form.IDS:
            out.ids(each.name for each in found.actions)
        else:
            out.answer(found, lambda: _show(out, found))

    connected(root, url, token, work)


def _show(out: Output, found: NetworkInfo) -> None:
    out.pairs((field, getattr(found, field)) for field in found.__struct_fields__ if field != "actions")
    out.print_sentence("")
    out.table(found.actions, ACTIONS)


def _parameters(out: Output, name: str, action: str, popular: bool, release: str | None) -> None:
    from taod.catalogue import Catalogue
    from taod.catalogue.releases import BASE, KNOWN
    from taod.catalogue.schema.json_schema import schema

    catalogue = Catalogue()
    if release is not None and release not in KNOWN:
        raise click.UsageError(f"--release {release}: taod knows {', '.join(KNOWN)}")
    found = catalogue.network(name, release or next(iter(catalogue.releases_of(name)), BASE))
    if found is None:
        raise NotFound(
            f"there is no network {name!r}{_suggestion(name, catalogue.names())}; `taod network ls` shows them"
        )
    if action not in found.actions:
        known = ", ".join(found.actions)
        raise NotFound(f"{name} has no action {action!r}{_suggestion(action, found.actions)}; it has {known}")
    if not found.takes_spec(action):
        raise NotFound(f"{action} of {name} takes no specification: it needs only the model's datasets")
    document = schema(found, action)
    if out.form is out.form.JSON and not popular:
        print_json(document)
        return
    rows = list(parameters(document, frozenset(document["automl_default_parameters"])))
    if popular:
        rows = [each for each in rows if each.notable]
    if out.form is out.form.IDS:
        out.ids(each.path for each in rows)
    elif out.form is out.form.JSON:
        print_json(rows)
    elif rows:
        out.table(rows, PARAMETERS)
    else:
        out.print_sentence(
            f"No parameter of {name} {action} is popular, usual, required or swept; omit --popular to show all."
        )


def _suggestion(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def parameters(
    schema: dict[str, Any], swept: frozenset[str], prefix: tuple[str, ...] = (), *, required: bool = False
) -> Iterator[Parameter]:
    """Yield the parameters that a JSON Schema describes, with whole paths, in its order."""
    inner = schema.get("properties")
    if inner:
        for name, child in inner.items():
            yield from parameters(child, swept, (*prefix, name), required=name in schema.get("required", ()))
    elif prefix:
        yield Parameter(
            path=".".join(prefix),
            type=str(schema.get("type", "")),
            default=schema.get("default"),
            limits=_limits(schema),
            popular=bool(schema.get("popular")),
            notable=notable(prefix, schema, required=required, swept=".".join(prefix) in swept),
            required=required,
            description=str(schema.get("description", "")),
        )


def _limits(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(str(each) for each in schema["enum"])
    if "const" in schema:
        return f"= {schema['const']}"
    signs = (("minimum", "≥"), ("maximum", "≤"), ("multipleOf", "a multiple of"))
    return " ".join(f"{sign} {schema[rule]}" for rule, sign in signs if rule in schema)
