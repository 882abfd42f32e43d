"""`taod job plan`: what a request for jobs would run, without making any."""

from __future__ import annotations

import shlex

import msgspec
import rich_click as click
from rich.console import Console
from rich.syntax import Syntax

from taod.cli.options import with_client
from taod.client.http import Client
from taod.errors import BadRequest
from taod.types.job import JobRun
from taod.types.plan import PlannedJob

_LEXERS = {"yaml": "yaml", "json": "json", "protobuf": "text"}


@click.command("plan")
@click.argument("model")
@click.argument("actions", nargs=-1, required=True)
@click.option("--dataset", is_flag=True, help="MODEL is a data set: plan what is run on the data itself.")
@click.option("--job", "parent", help="Id of the finished job that the first action works on.")
@click.option("--spec/--no-spec", default=True, show_default=True, help="Show the finished spec files.")
@click.option("--json", "as_json", is_flag=True, help="The API's answer instead of text.")
@with_client
async def plan(
    client: Client,
    model: str,
    actions: tuple[str, ...],
    dataset: bool,
    parent: str | None,
    spec: bool,
    as_json: bool,
) -> None:
    """Show the command line, environment and spec file of each of ACTIONS on MODEL (a name, an id or its beginning).

    Nothing is made or run; secrets are masked.
    """
    kind = "dataset" if dataset else "model"
    jobs = await client.plan(kind, await _owner(client, kind, model), JobRun(actions=list(actions), job=parent))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(jobs)).decode())
        return
    console = Console(soft_wrap=True)
    for job in jobs:
        _show(console, job, spec)


async def _owner(client: Client, kind: str, text: str) -> str:
    """The id of the one model or data set that `text` names. Raises BadRequest where none or several fit."""
    if kind == "model":
        owners = [(model.id, model.name) for model in (await client.models(read_only=False)).items]
    else:
        owners = [(dataset.id, dataset.name) for dataset in (await client.datasets()).items]
    named = [id_ for id_, name in owners if name == text]
    found = named or [id_ for id_, _ in owners if id_.startswith(text.lower())]
    if len(found) != 1:
        what = "data set" if kind == "dataset" else kind
        said = f"{len(found)} are called so: {', '.join(id_[:13] for id_ in found)}" if found else "there is none"
        raise BadRequest(f"{what} {text!r}: {said}; give more of its id")
    return found[0]


def _show(console: Console, job: PlannedJob, with_spec: bool) -> None:
    on = f" on {job.parent_id}" if job.parent_id else ""
    console.rule(f"[bold]{job.id}: {job.network} {job.action}{on}", align="left", style="dim")
    devices = f"{job.devices_wanted} device{'s' if job.devices_wanted > 1 else ''}"
    console.print(f"runner {job.runner}, image {job.image}, {devices}", style="dim", highlight=False)
    console.print(shlex.join(job.argv), markup=False, highlight=False)
    console.print(f"executes {shlex.join(job.executes)}", style="dim", markup=False, highlight=False)
    for name, value in job.environment.items():
        console.print(f"  {name}={value}", markup=False, highlight=False)
    if job.later:
        console.print(f"filled in when {job.parent_id} is done: {', '.join(job.later)}", markup=False, highlight=False)
    for note in (*([f"waits: {job.waits_for}"] if job.waits_for else []), *job.warnings):
        console.print(note, style="yellow", markup=False, highlight=False)
    if with_spec and job.spec_text is not None:
        console.print(f"\n{job.spec_path}", style="bold", markup=False, highlight=False)
        lexer = _LEXERS.get(job.spec_format or "", "text")
        console.print(Syntax(job.spec_text.rstrip("\n"), lexer, background_color="default", word_wrap=False))
    console.print()
