"""`taod dataset`: datasets, their files, and the jobs that convert them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from taod.cli.commands import review
from taod.cli.commands.run import run_command
from taod.cli.commands.spec import spec_group
from taod.cli.support.fields import parse
from taod.cli.support.jobs_table import JOBS, with_jobs
from taod.cli.support.options import absolute, list_options, one_of, with_client
from taod.cli.support.output import Columns, Output, confirm, moment, number, short, size, with_output, yes_option
from taod.cli.support.pipes import STANDARD_INPUT, pipe
from taod.cli.support.resolve import dataset_id, named
from taod.client.errors import ClientError, NoDaemon
from taod.types.common import Sort
from taod.types.dataset import (
    Dataset,
    DatasetCreate,
    DatasetFormat,
    DatasetPatch,
    DatasetSummary,
    DatasetType,
    SplitSummary,
    UploadMode,
)
from taod.types.warning_text import text

if TYPE_CHECKING:
    from taod.client.http import Client

COLUMNS: Columns[Dataset] = {
    "id": lambda each: short(each.id),
    "name": lambda each: each.name,
    "type": lambda each: each.type,
    "format": lambda each: each.format,
    "jobs": lambda each: str(len(each.jobs) or ""),
    "made": lambda each: moment(each.created_on),
}
SPLITS: Columns[SplitSummary] = {
    "split": lambda split: split.name,
    "images": lambda split: str(split.images),
    "classes": lambda split: ", ".join(f"{name} {count}" for name, count in split.classes.items()),
}


@click.group()
def dataset() -> None:
    """Datasets of this user. DATASET is an id, its beginning where that is unique, or a name."""


dataset.add_command(spec_group("dataset"))
dataset.add_command(run_command("dataset"))
for _each in (review.check, review.report, review.from_job):
    dataset.add_command(_each)


@dataset.command("ls")
@click.option("--name", help="Only those with this in their name.")
@click.option("--type", "type_", type=one_of(DatasetType), help="Only those of this type.")
@list_options(Sort)
@with_client
@with_output
async def ls(
    client: Client,
    out: Output,
    name: str | None,
    type_: str | None,
    size: int | None,
    skip: int | None,
    sort: str | None,
) -> None:
    """List datasets."""
    page = await client.datasets(
        name=name, type=type_, size=out.size(size), skip=skip, sort=Sort(sort) if sort else None
    )
    out.listing(page.items, COLUMNS, total=page.total - (skip or 0))


@dataset.command("create")
@click.argument("type_", metavar="TYPE", type=one_of(DatasetType))
@click.argument("format_", metavar="FORMAT", type=one_of(DatasetFormat))
@click.argument("fields", metavar="[FIELD=VALUE]...", nargs=-1)
@with_client
@with_output
async def create(client: Client, out: Output, type_: str, format_: str, fields: tuple[str, ...]) -> None:
    """Make a dataset, empty as yet. Fields: name, description, version, logo."""
    made = await client.create_dataset(await parse(client, fields, DatasetCreate, type=type_, format=format_))
    out.changed(made, f"Made {named('dataset', made.id, made.name)}; `taod dataset upload {short(made.id)} FILE` next.")


@dataset.command("show")
@click.argument("dataset_", metavar="DATASET")
@with_client
@with_output
async def show(client: Client, out: Output, dataset_: str) -> None:
    """Everything about one dataset."""
    whole_id = await dataset_id(client, dataset_)
    found, summary = await client.dataset(whole_id), await client.dataset_summary(whole_id)
    out.answer(found, lambda: _show(out, found, summary))


def _show(out: Output, found: Dataset, summary: DatasetSummary) -> None:
    names = ("id", "name", "description", "type", "format", "version", "actions", "created_on", "last_modified")
    out.pairs(
        [
            *((name, getattr(found, name)) for name in names),
            ("files", f"{summary.state}: {_contents(summary)}"),
            ("path", summary.path),
            ("classes", summary.classes),
            ("pixels", ", ".join(f"{name} {share:.1%}" for name, share in summary.shares.items())),
            ("upload", _upload(summary)),
            ("made by job", summary.parent_job),
            ("made from dataset", summary.parent_dataset),
            *(("warning", text(warning)) for warning in summary.warnings),
        ]
    )
    if summary.splits:
        out.say("")
        out.table(summary.splits, SPLITS)
    if found.jobs:
        out.say("")
        out.table(found.jobs, JOBS)


async def _waiting(client: Client, id: str) -> str:
    """What is there of an upload that broke off, as the beginning of a sentence's part."""
    try:
        told = _upload(await client.dataset_summary(id))
    except ClientError:
        return ""
    return f"{told} is there, it goes on with that: " if told else ""


def _upload(summary: DatasetSummary) -> str | None:
    if summary.upload is None:
        return None
    of_total = f" of {size(summary.upload.total)}" if summary.upload.total is not None else ""
    return f"{summary.upload.stage}: {size(summary.upload.received)}{of_total}"


def _contents(summary: DatasetSummary) -> str:
    return f"{number(summary.images, 'image')}, {number(summary.files, 'file')}, {size(summary.bytes)}"


@dataset.command("summary")
@click.argument("dataset_", metavar="DATASET")
@with_client
@with_output
async def summary(client: Client, out: Output, dataset_: str) -> None:
    """What was understood of the files: state, images, classes, splits."""
    whole_id = await dataset_id(client, dataset_)
    found = await client.dataset_summary(whole_id)
    out.changed(found, f"{found.state}: {_contents(found)}", id=whole_id)


@dataset.command("set")
@click.argument("dataset_", metavar="DATASET")
@click.argument("fields", metavar="FIELD=VALUE...", nargs=-1, required=True)
@with_client
@with_output
async def set_(client: Client, out: Output, dataset_: str, fields: tuple[str, ...]) -> None:
    """Change fields; the others stay."""
    changes = await parse(client, fields, DatasetPatch)
    changed = await client.update_dataset(await dataset_id(client, dataset_), changes)
    out.changed(changed, f"Changed {named('dataset', changed.id, changed.name)}.")


@dataset.command("upload")
@click.argument("dataset_", metavar="DATASET")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True, path_type=Path))
@click.option("--add", is_flag=True, help="Keep the files that are there; of two of one name the new one counts.")
@click.option("--checksum/--no-checksum", default=True, help="Have the daemon compare SHA-256.", show_default=True)
@click.option("--restart", is_flag=True, help="Begin anew, where an earlier upload broke off.")
@with_client
@with_output
async def upload(
    client: Client, out: Output, dataset_: str, file: Path, add: bool, checksum: bool, restart: bool
) -> None:
    """Send an archive (tar, tar.gz, .bz2, .xz, .zst, zip); it replaces the files that are there.

    A large one that broke off is resumed: give the same command again. FILE may be a pipe, and `-` is standard input:
    these are sent as they come, without a checksum, and cannot be resumed.
    """
    from taod.cli.support.progress import transfer

    file = STANDARD_INPUT if str(file) == "-" else file
    piped = pipe(file)
    whole_id = await dataset_id(client, dataset_)
    waiting = (await client.dataset_summary(whole_id)).upload
    if restart and waiting is not None:
        await client.give_up_upload(whole_id)
    mode = UploadMode.ADD if add else UploadMode.REPLACE
    name = file.name
    with transfer(f"upload {name}", out.aside) as tell:
        try:
            if piped is not None:
                answer = await client.upload_pipe(whole_id, piped, name, tell, mode=mode)
            else:
                answer = await client.upload(whole_id, file, tell, mode=mode, checksum=checksum)
        except NoDaemon as error:
            raise NoDaemon(
                f"{error}; {await _waiting(client, whole_id)}give the same command again when there is a daemon"
            ) from error
    understood = f": {_contents(answer.summary)}" if answer.summary else ""
    out.changed(answer, f"Uploaded {name}{understood}.", id=whole_id)


@dataset.command("link")
@click.argument("dataset_", metavar="DATASET")
@click.argument("folder", type=click.Path(path_type=Path))
@with_client
@with_output
async def link(client: Client, out: Output, dataset_: str, folder: Path) -> None:
    """Use a folder of the daemon's machine in place; it is never changed."""
    whole_id = await dataset_id(client, dataset_)
    found = await client.link_dataset(whole_id, absolute(folder))
    out.changed(found, f"Linked {found.path}: {_contents(found)}.", id=whole_id)


@dataset.command("rm")
@click.argument("datasets", metavar="DATASET...", nargs=-1, required=True)
@yes_option
@with_client
@with_output
async def rm(client: Client, out: Output, datasets: tuple[str, ...], yes: bool) -> None:
    """Delete datasets with their files and jobs; refused while a model uses one."""
    ids = [await dataset_id(client, each) for each in datasets]
    confirm([await _what_goes(client, id) for id in ids], yes)
    for id in ids:
        gone = await client.delete_dataset(id)
        out.changed(gone, f"Deleted {named('dataset', gone.id, gone.name)}.")


async def _what_goes(client: Client, id: str) -> str:
    found, summary = await client.dataset(id), await client.dataset_summary(id)
    files = f"its {_contents(summary)}"
    if summary.state == "linked":
        files = f"not the folder {summary.path}, which stays as it is"
    return f"Deletes {named('dataset', id, found.name)}, {files}{with_jobs(found.jobs)}."
