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
    from taod.client import AsyncClient

COLUMNS: Columns[Dataset] = {
    "id": lambda each: short(each.id),
    "name": lambda each: each.name,
    "type": lambda each: each.type,
    "format": lambda each: each.format,
    "jobs": lambda each: str(len(each.jobs) or ""),
    "created": lambda each: moment(each.created_on),
}
SPLITS: Columns[SplitSummary] = {
    "split": lambda split: split.name,
    "images": lambda split: str(split.images),
    "classes": lambda split: ", ".join(f"{name} {count}" for name, count in split.classes.items()),
}


@click.group()
def dataset() -> None:
    """Datasets of this user. DATASET is an id, a unique prefix of an id, or a name."""


dataset.add_command(spec_group("dataset"))
dataset.add_command(run_command("dataset"))
for _each in (review.check, review.report, review.from_job):
    dataset.add_command(_each)


@dataset.command("ls")
@click.option("--name", help="Only datasets whose name contains this.")
@click.option("--type", "type_", type=one_of(DatasetType), help="Only datasets of this type.")
@list_options(Sort)
@with_client
@with_output
async def ls(
    client: AsyncClient,
    out: Output,
    name: str | None,
    type_: str | None,
    size: int | None,
    skip: int | None,
    sort: str | None,
) -> None:
    """List datasets."""
    page = await client.datasets.list(
        name=name, type=type_, size=out.size(size), skip=skip, sort=Sort(sort) if sort else None
    )
    out.listing(page.items, COLUMNS, total=page.total - (skip or 0))


@dataset.command("create")
@click.argument("type_", metavar="TYPE", type=one_of(DatasetType))
@click.argument("format_", metavar="FORMAT", type=one_of(DatasetFormat))
@click.argument("fields", metavar="[FIELD=VALUE]...", nargs=-1)
@with_client
@with_output
async def create(client: AsyncClient, out: Output, type_: str, format_: str, fields: tuple[str, ...]) -> None:
    """Create an empty dataset. Fields: name, description, version, logo."""
    created = await client.datasets.create(await parse(client, fields, DatasetCreate, type=type_, format=format_))
    next_step = f"`taod dataset upload {short(created.id)} FILE`"
    out.changed(created, f"Created {named('dataset', created.id, created.name)}. Next: {next_step}")


@dataset.command("show")
@click.argument("dataset_", metavar="DATASET")
@with_client
@with_output
async def show(client: AsyncClient, out: Output, dataset_: str) -> None:
    """Show one dataset: fields, files, splits and jobs."""
    whole_id = await dataset_id(client, dataset_)
    found, summary = await client.datasets.get(whole_id), await client.datasets.summary(whole_id)
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
            ("created by job", summary.parent_job),
            ("derived from dataset", summary.parent_dataset),
            *(("warning", text(warning)) for warning in summary.warnings),
        ]
    )
    if summary.splits:
        out.print_sentence("")
        out.table(summary.splits, SPLITS)
    if found.jobs:
        out.print_sentence("")
        out.table(found.jobs, JOBS)


async def _kept_part(client: AsyncClient, id: str) -> str:
    """A clause about the part of an interrupted upload that the daemon has kept; empty without one."""
    try:
        kept = _upload(await client.datasets.summary(id))
    except ClientError:
        return ""
    return f"{kept} is kept and will be resumed; " if kept else ""


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
async def summary(client: AsyncClient, out: Output, dataset_: str) -> None:
    """Summarise the files: state, number of images and files, size."""
    whole_id = await dataset_id(client, dataset_)
    found = await client.datasets.summary(whole_id)
    out.changed(found, f"{found.state}: {_contents(found)}", id=whole_id)


@dataset.command("set")
@click.argument("dataset_", metavar="DATASET")
@click.argument("fields", metavar="FIELD=VALUE...", nargs=-1, required=True)
@with_client
@with_output
async def set_(client: AsyncClient, out: Output, dataset_: str, fields: tuple[str, ...]) -> None:
    """Change fields; fields that are not given keep their values."""
    changes = await parse(client, fields, DatasetPatch)
    changed = await client.datasets.update(await dataset_id(client, dataset_), changes)
    out.changed(changed, f"Changed {named('dataset', changed.id, changed.name)}.")


@dataset.command("upload")
@click.argument("dataset_", metavar="DATASET")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True, path_type=Path))
@click.option("--add", is_flag=True, help="Keep the present files; a new file replaces one of the same name.")
@click.option(
    "--checksum/--no-checksum", default=True, help="Let the daemon compare the SHA-256 of the file.", show_default=True
)
@click.option("--restart", is_flag=True, help="Start over instead of resuming an interrupted upload.")
@with_client
@with_output
async def upload(
    client: AsyncClient, out: Output, dataset_: str, file: Path, add: bool, checksum: bool, restart: bool
) -> None:
    """Upload an archive (tar, tar.gz, .bz2, .xz, .zst, zip); it replaces the present files.

    To resume a large upload that was interrupted, run the same command again. FILE may be a pipe, and `-` is standard
    input: pipes are streamed without a checksum and cannot be resumed.
    """
    from taod.cli.support.progress import transfer

    file = STANDARD_INPUT if str(file) == "-" else file
    piped = pipe(file)
    whole_id = await dataset_id(client, dataset_)
    interrupted = (await client.datasets.summary(whole_id)).upload
    if restart and interrupted is not None:
        await client.datasets.cancel_upload(whole_id)
    mode = UploadMode.ADD if add else UploadMode.REPLACE
    name = file.name
    with transfer(f"upload {name}", out.aside) as report:
        try:
            if piped is not None:
                answer = await client.datasets.upload_pipe(whole_id, piped, name, report, mode=mode)
            else:
                answer = await client.datasets.upload(whole_id, file, report, mode=mode, checksum=checksum)
        except NoDaemon as error:
            raise NoDaemon(
                f"{error}; {await _kept_part(client, whole_id)}run the same command again once the daemon runs"
            ) from error
    contents = f": {_contents(answer.summary)}" if answer.summary else ""
    out.changed(answer, f"Uploaded {name}{contents}.", id=whole_id)


@dataset.command("link")
@click.argument("dataset_", metavar="DATASET")
@click.argument("folder", type=click.Path(path_type=Path))
@with_client
@with_output
async def link(client: AsyncClient, out: Output, dataset_: str, folder: Path) -> None:
    """Use a folder of the daemon's machine in place; taod never writes to it."""
    whole_id = await dataset_id(client, dataset_)
    found = await client.datasets.link(whole_id, absolute(folder))
    out.changed(found, f"Linked {found.path}: {_contents(found)}.", id=whole_id)


@dataset.command("rm")
@click.argument("datasets", metavar="DATASET...", nargs=-1, required=True)
@yes_option
@with_client
@with_output
async def rm(client: AsyncClient, out: Output, datasets: tuple[str, ...], yes: bool) -> None:
    """Delete datasets with their files and jobs. A dataset that a model uses cannot be deleted."""
    ids = [await dataset_id(client, each) for each in datasets]
    confirm([await _deletion(client, id) for id in ids], yes)
    for id in ids:
        deleted = await client.datasets.delete(id)
        out.changed(deleted, f"Deleted {named('dataset', deleted.id, deleted.name)}.")


async def _deletion(client: AsyncClient, id: str) -> str:
    found, summary = await client.datasets.get(id), await client.datasets.summary(id)
    files = f"its {_contents(summary)}"
    if summary.state == "linked":
        files = f"but not the linked folder {summary.path}"
    return f"Deletes {named('dataset', id, found.name)}, {files}{with_jobs(found.jobs)}."
