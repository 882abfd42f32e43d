"""`taod model`: models, their fields, specifications and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import rich_click as click

from taod.cli.commands.pack import pack
from taod.cli.commands.run import run_command
from taod.cli.commands.spec import spec_group
from taod.cli.support.fields import parse
from taod.cli.support.jobs_table import JOBS, with_jobs
from taod.cli.support.options import list_options, with_client
from taod.cli.support.output import Columns, Output, confirm, moment, print_json, short, with_output, yes_option
from taod.cli.support.resolve import everything, model_id, named
from taod.types.common import Sort
from taod.types.job import Job
from taod.types.model import Model, ModelCreate, ModelPatch
from taod.types.release_change import FieldChange, FieldChangeKind, ReleaseChange

if TYPE_CHECKING:
    from taod.client import AsyncClient


def _latest(model: Model) -> str:
    latest: Job | None = max(model.jobs, key=lambda job: job.created_on, default=None)
    return f"{len(model.jobs)}, last {latest.action} {latest.status}" if latest else ""


COLUMNS: Columns[Model] = {
    "id": lambda model: short(model.id),
    "name": lambda model: model.name,
    "network": lambda model: model.network_arch,
    "release": lambda model: model.release,
    "jobs": _latest,
    "created": lambda model: moment(model.created_on),
}


@click.group()
def model() -> None:
    """Models of this user. MODEL is an id, a unique prefix of an id, or a name."""


model.add_command(spec_group("model"))
model.add_command(run_command("model"))
model.add_command(pack)


@model.command("ls")
@click.option("--name", help="Only models whose name contains this.")
@click.option("--arch", help="Only models of this network architecture.")
@click.option("--read-only/--writable", default=None, help="Only models that cannot, or can, be changed.")
@click.option("--ptm", is_flag=True, help="Include pretrained models, after the others.")
@list_options(Sort)
@with_client
@with_output
async def ls(
    client: AsyncClient,
    out: Output,
    name: str | None,
    arch: str | None,
    read_only: bool | None,
    ptm: bool,
    size: int | None,
    skip: int | None,
    sort: str | None,
) -> None:
    """List models: the user's own and public ones."""
    order = Sort(sort) if sort else None
    if ptm:
        page = await client.models.list(
            name=name, arch=arch, read_only=read_only, size=out.size(size), skip=skip, sort=order
        )
        out.listing(page.items, COLUMNS, total=page.total - (skip or 0))
        return
    found: list[Model] = []
    async for each in everything(client.models.list, name=name, arch=arch, read_only=read_only, sort=order):
        # The daemon lists pretrained models last.
        if is_pretrained(each):
            break
        found.append(each)
    wanted = found[skip or 0 :]
    out.listing(wanted[: out.size(size)], COLUMNS, total=len(wanted))


def is_pretrained(model: Model) -> bool:
    """Whether a model is an entry of the catalogue of pretrained models, which have no user."""
    return bool(model.ngc_path) and model.read_only and model.encryption_key is msgspec.UNSET


@model.command("create")
@click.argument("arch")
@click.argument("fields", metavar="[FIELD=VALUE]...", nargs=-1)
@with_client
@with_output
async def create(client: AsyncClient, out: Output, arch: str, fields: tuple[str, ...]) -> None:
    """Create a model of a network architecture: `taod model create dino name=cars train_datasets=cars-train`."""
    created = await client.models.create(await parse(client, fields, ModelCreate, network_arch=arch))
    out.changed(created, f"Created {named('model', created.id, created.name)}.")


@model.command("show")
@click.argument("model_", metavar="MODEL")
@with_client
@with_output
async def show(client: AsyncClient, out: Output, model_: str) -> None:
    """Show one model: its fields and jobs."""
    found = await client.models.get(await model_id(client, model_))
    out.answer(found, lambda: _show(out, found))


def _show(out: Output, found: Model) -> None:
    first = ["id", "name", "network_arch", "dataset_type", "description"]
    # The encryption key is a secret: only --json prints it.
    hidden = ("jobs", "logo", "encryption_key")
    rest = [name for name in found.__struct_fields__ if name not in (*first, *hidden)]
    out.pairs((name, getattr(found, name)) for name in (*first, *rest))
    if found.jobs:
        out.print_sentence("")
        out.table(found.jobs, JOBS)


@model.command("set")
@click.argument("model_", metavar="MODEL")
@click.argument("fields", metavar="FIELD=VALUE...", nargs=-1, required=True)
@with_client
@with_output
async def set_(client: AsyncClient, out: Output, model_: str, fields: tuple[str, ...]) -> None:
    """Change fields; fields that are not given keep their values.

    Separate the items of a list with commas; `null` unsets a reference: `taod model set cars train_datasets=a,b
    eval_dataset=null`.
    """
    changes = await parse(client, fields, ModelPatch)
    changed = await client.models.update(await model_id(client, model_), changes)
    out.changed(changed, f"Changed {named('model', changed.id, changed.name)}.")


CHANGES: Columns[FieldChange] = {
    "change": lambda change: change.kind,
    "parameter": lambda change: change.path,
    "to": lambda change: change.to,
    "value": lambda change: "" if change.value is None else msgspec.json.encode(change.value).decode()[:60],
    "reason": lambda change: change.reason,
}


@model.command("release")
@click.argument("model_", metavar="MODEL")
@click.argument("release", metavar="[RELEASE]", required=False)
@click.option("--dry-run", is_flag=True, help="Only show what changes.")
@click.option("--all", "everything_new", is_flag=True, help="Also list parameters that are new, and unsaved defaults.")
@click.option("--discard-specs", is_flag=True, help="Drop saved specifications instead of converting them.")
@click.option("--abandon-checkpoints", is_flag=True, help="Move although jobs of the release cannot use them.")
@yes_option
@with_client
@with_output
async def release_(
    client: AsyncClient,
    out: Output,
    model_: str,
    release: str | None,
    dry_run: bool,
    everything_new: bool,
    discard_specs: bool,
    abandon_checkpoints: bool,
    yes: bool,
) -> None:
    """Move a model to another release of NVIDIA's tools and convert its specifications; without RELEASE, show its own.

    What changes is listed first, and nothing is changed without consent.
    """
    chosen = await model_id(client, model_)
    change = await client.models.preview_release(chosen, release)
    if release is None or dry_run or change.to == change.release:
        out.answer(change, lambda: _show_change(out, change, everything_new=everything_new))
        return
    if not yes:
        _show_change(out, change, everything_new=everything_new)
    lost = " Its checkpoints cannot be used any more." if change.blocked and abandon_checkpoints else ""
    specs = "drops its saved specifications" if discard_specs else "converts its saved specifications"
    confirm([f"Moves model {short(chosen)} from release {change.release} to {change.to}, and {specs}.{lost}"], yes)
    moved = await client.models.move_release(
        chosen, release, convert=not discard_specs, abandon_checkpoints=abandon_checkpoints
    )
    if out.form is out.form.JSON:
        print_json(moved)
    else:
        out.print_sentence(f"Moved model {short(chosen)} to release {moved.to}.")


def _show_change(out: Output, change: ReleaseChange, *, everything_new: bool) -> None:
    if change.to == change.release:
        out.print_sentence(f"Model {short(change.model_id)} ({change.network}) is of release {change.release}.")
        return
    out.print_sentence(f"Model {short(change.model_id)} ({change.network}), release {change.release} → {change.to}")
    for label, actions in (("only there", change.added), ("not there", change.removed)):
        if actions:
            out.print_sentence(f"Actions {label}: {', '.join(actions)}")
    for action in change.actions:
        rows = [each for each in action.changes if everything_new or each.kind is not FieldChangeKind.NEW]
        new = len(action.changes) - len(rows)
        if not (action.saved or everything_new):
            continue
        out.print_sentence("")
        out.print_sentence(
            f"{action.action}{'' if action.saved else ' (default)'}" + (f", and {new} new parameters" if new else "")
        )
        out.table(rows, CHANGES)
    if not any(action.saved for action in change.actions):
        out.print_sentence("No specification is saved: the defaults of the other release apply.")
    if change.blocked:
        out.print_sentence("")
        out.print_sentence(f"Kept at its release: {change.blocked}; --abandon-checkpoints moves it nevertheless.")


@model.command("rm")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@yes_option
@with_client
@with_output
async def rm(client: AsyncClient, out: Output, models: tuple[str, ...], yes: bool) -> None:
    """Delete models with their jobs, checkpoints included."""
    found = [await client.models.get(await model_id(client, each)) for each in models]
    confirm([f"Deletes {named('model', each.id, each.name)}{with_jobs(each.jobs)}." for each in found], yes)
    for each in found:
        deleted = await client.models.delete(each.id)
        out.changed(deleted, f"Deleted {named('model', deleted.id, deleted.name)}.")
