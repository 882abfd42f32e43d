"""`taod dataset check`, `report` and `from-job`: dataset checks, and datasets from the results of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from taod.cli.support.fields import parse
from taod.cli.support.options import with_client
from taod.cli.support.output import Columns, Form, Output, with_output
from taod.cli.support.resolve import dataset_id, job_id, named
from taod.types.dataset import BoxFigures, DatasetFromJob, DatasetProblem, DatasetReport, Spread

if TYPE_CHECKING:
    from taod.client import AsyncClient

PROBLEMS: Columns[DatasetProblem] = {
    "file": lambda each: f"{each.file}:{each.line}" if each.line else each.file,
    "problem": lambda each: each.what,
    "expected": lambda each: each.expected,
}


@click.command("check")
@click.argument("dataset_", metavar="DATASET")
@click.option("--deep", is_flag=True, help="Decode whole images, not only their headers.")
@click.option("--cancel", is_flag=True, help="Cancel the running check.")
@with_client
@with_output
async def check(client: AsyncClient, out: Output, dataset_: str, deep: bool, cancel: bool) -> None:
    """Check all files in the background; `taod dataset report` shows the result."""
    whole_id = await dataset_id(client, dataset_)
    found = await (client.datasets.cancel_check(whole_id) if cancel else client.datasets.check(whole_id, deep=deep))
    out.changed(found, f"{found.state}: {found.message}", id=whole_id)


@click.command("report")
@click.argument("dataset_", metavar="DATASET")
@with_client
@with_output
async def report(client: AsyncClient, out: Output, dataset_: str) -> None:
    """Show the result of the last check: statistics, and the first problems by file and line."""
    whole_id = await dataset_id(client, dataset_)
    found = await client.datasets.report(whole_id)
    out.changed(found, f"{found.state}: {found.message}", id=whole_id)
    if out.form is not Form.TABLE:
        return
    out.pairs(_statistics(found))
    if found.first:
        out.print_sentence("")
        out.table(found.first, PROBLEMS)
    if found.problems > len(found.first):
        out.print_sentence(f"{found.problems - len(found.first)} more")


def _statistics(found: DatasetReport) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = []
    if found.state == "running":
        pairs.append(("progress", f"{found.progress:.0%}"))
    pairs.append(("classes", ", ".join(f"{name} {count}" for name, count in found.classes.items())))
    if found.pixels:
        whole = sum(found.pixels.values()) or 1
        shares = ", ".join(f"{name} {count} ({count / whole:.1%})" for name, count in found.pixels.items())
        pairs.append(("pixels", shares))
    if found.boxes is not None:
        pairs.append(("boxes", _boxes(found.boxes)))
    if found.sizes is not None:
        pairs.append(("images", f"{_spread(found.sizes.width)} wide, {_spread(found.sizes.height)} high"))
    return pairs


def _boxes(boxes: BoxFigures) -> str:
    sides = f"{_spread(boxes.width)} wide, {_spread(boxes.height)} high"
    return f"{boxes.boxes}; {sides}; {_spread(boxes.per_image)} per image"


def _spread(spread: Spread) -> str:
    return f"{spread.least:g} to {spread.most:g} (median {spread.median:g})"


@click.command("from-job")
@click.argument("job_", metavar="JOB")
@click.argument("fields", metavar="[FIELD=VALUE]...", nargs=-1)
@with_client
@with_output
async def from_job(client: AsyncClient, out: Output, job_: str, fields: tuple[str, ...]) -> None:
    """Create a dataset from the results of an annotations, augmentation or analytics job. Fields: name, description,
    format, type."""
    body = await parse(client, fields, DatasetFromJob)
    created = await client.datasets.create_from_job(await job_id(client, job_), body)
    out.changed(created, f"Created {named('dataset', created.id, created.name)} of format {created.format}.")
