"""`taod sweep`: sweeps, which search for the best parameters of a training, and their trials."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from taod.cli.support.jobs_table import coloured
from taod.cli.support.options import with_client
from taod.cli.support.output import Columns, Output, short, with_output
from taod.cli.support.resolve import everything, job_id
from taod.types.job import JobView
from taod.types.sweep import SweepView, TrialView

if TYPE_CHECKING:
    from taod.client import AsyncClient

SWEEPS: Columns[JobView] = {
    "job": lambda view: short(view.id),
    "owner": lambda view: view.owner_name,
    "state": lambda view: coloured(view.state),
    "trials": lambda view: str(view.trials),
    "metric": lambda view: view.metric or "",
    "best": lambda view: "" if view.metric_value is None else f"{view.metric_value:.5g}",
    "reason": lambda view: view.reason,
}
sweep_argument = click.argument("job_", metavar="JOB")


@click.group()
def sweep() -> None:
    """Sweeps of this user. JOB is the id of the sweep's train job, or a unique prefix of it."""


@sweep.command("ls")
@with_client
@with_output
async def ls(client: AsyncClient, out: Output) -> None:
    """List sweeps, the newest first."""
    found = [view async for view in everything(client.jobs.list, action="train") if view.trials is not None]
    out.listing(found, SWEEPS, total=len(found))


@sweep.command("show")
@sweep_argument
@with_client
@with_output
async def show(client: AsyncClient, out: Output, job_: str) -> None:
    """Show the trials of a sweep, the best trial, and the importance of each parameter."""
    view = await client.sweeps.get(await client.jobs.get(await job_id(client, job_)))
    if out.form is out.form.IDS:
        out.ids([trial.job_id for trial in view.trials if trial.job_id])
    else:
        out.answer(view, lambda: _print(out, view))


@sweep.command("finish")
@sweep_argument
@with_client
@with_output
async def finish(client: AsyncClient, out: Output, job_: str) -> None:
    """Finish a sweep now: running trials are cancelled, and the best trial becomes its result."""
    view = await client.sweeps.finish(await client.jobs.get(await job_id(client, job_)))
    if out.form is out.form.IDS:
        out.ids([view.job_id])
    else:
        out.answer(view, lambda: _print(out, view))


@sweep.command("csv")
@sweep_argument
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write; default: standard output."
)
@with_client
async def csv(client: AsyncClient, job_: str, output: Path | None) -> None:
    """Print the trials of a sweep as CSV, with one column per parameter."""
    text = await client.sweeps.csv(await client.jobs.get(await job_id(client, job_)))
    if output is None:
        click.echo(text, nl=False)
    else:
        await asyncio.to_thread(output.write_text, text)


def _print(out: Output, view: SweepView) -> None:
    say = out.console.print
    heading = (
        f"{view.algorithm}, {view.direction} {view.metric}: {len(view.trials)} of {view.planned} trials, {view.state}"
    )
    say(heading, highlight=False, markup=False)
    say(view.reason, highlight=False, markup=False)
    names = _short_names([each.path for each in view.space])
    columns: Columns[TrialView] = {
        "trial": lambda trial: f"{trial.number}{' ★' if trial.number == view.best else ''}",
        "job": lambda trial: short(trial.job_id) if trial.job_id else "",
        "outcome": lambda trial: trial.outcome,
        view.metric: lambda trial: "" if trial.value is None else f"{trial.value:.5g}",
        "epochs": lambda trial: str(trial.epochs),
        **{name: _cell(path) for path, name in names.items()},
        "reason": lambda trial: trial.reason.splitlines()[0] if trial.reason else "",
    }
    out.table(view.trials, columns)
    for each in view.importances:
        say(f"{each.importance:6.1%}  {each.parameter}", highlight=False, markup=False)
    for note in view.notes:
        say(note, style="dim", highlight=False, markup=False)


def _cell(path: str) -> Callable[[TrialView], str]:
    return lambda trial: _text(trial.params.get(path))


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _short_names(paths: list[str]) -> dict[str, str]:
    """The last part of each path, or the last two parts where the last one is not unique."""
    names = {path: path.rpartition(".")[2] for path in paths}
    doubled = [path for path in paths if list(names.values()).count(names[path]) > 1]
    return names | {path: ".".join(path.split(".")[-2:]) for path in doubled}
