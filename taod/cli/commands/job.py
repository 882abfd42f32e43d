"""`taod job`: list, watch and control jobs, and download their files."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec
import rich_click as click

from taod.cli.commands.plan import plan
from taod.cli.support import documents, jobs_table
from taod.cli.support.options import list_options, one_of, with_client
from taod.cli.support.output import (
    Columns,
    Output,
    confirm,
    json_option,
    moment,
    print_json,
    short,
    size,
    target_file,
    with_output,
    yes_option,
)
from taod.cli.support.resolve import dataset_id, job_id
from taod.terminal import LogText
from taod.types.common import JobSort
from taod.types.job import Artifact, JobPatch, JobView
from taod.types.state import State, Status

if TYPE_CHECKING:
    from taod.client import AsyncClient

ALL_LINES = 10**9
FILES: Columns[Artifact] = {
    "file": lambda file: file.path,
    "size": lambda file: size(file.size_bytes),
    "changed": lambda file: moment(file.modified_on),
}
job_argument = click.argument("job_", metavar="JOB")
jobs_argument = click.argument("jobs", metavar="JOB...", nargs=-1, required=True)


@click.group()
def job() -> None:
    """Jobs of this user. JOB is an id or a unique prefix of one."""


job.add_command(plan)


@job.command("ls")
@click.option("--state", multiple=True, type=one_of(State), help="Only jobs in this state.")
@click.option("--status", type=one_of(Status), help="Only jobs of this public status.")
@click.option("--action", help="Only jobs of this action.")
@click.option("--network", help="Only jobs of this network architecture, or dataset type.")
@click.option("--text", help="Only jobs whose id, action, network or owner's name contains this.")
@list_options(JobSort)
@with_client
@with_output
async def ls(
    client: AsyncClient,
    out: Output,
    state: tuple[str, ...],
    status: str | None,
    size: int | None,
    **filters: Any,
) -> None:
    """List jobs, the newest first."""
    page = await client.jobs.list(
        state=[State(each) for each in state],
        status=Status(status) if status else None,
        size=out.size(size),
        **filters,
    )
    out.listing(page.items, jobs_table.VIEWS, total=page.total - (filters["skip"] or 0))


@job.command("show")
@job_argument
@with_client
@with_output
async def show(client: AsyncClient, out: Output, job_: str) -> None:
    """Show one job: state, reason, KPIs, process and history."""
    detail = await client.jobs.get(await job_id(client, job_))
    if out.form is out.form.IDS:
        out.ids([detail.job.id])
    else:
        out.answer(detail, lambda: jobs_table.show(out, detail))


@job.command("leaderboard")
@click.option("--metric", help="Rank by this metric; default: the main metric of the newest job that reports its own.")
@click.option("--network", help="Only jobs of this network architecture.")
@click.option("--dataset", help="Only jobs that read this dataset: its id, its name or a prefix of its id.")
@click.option("--action", help="Only jobs of this action.")
@click.option("--trials/--no-trials", default=None, help="Only trials of sweeps, or only other jobs.")
@click.option("--size", type=click.IntRange(1), help="Number of jobs; default: 30 in a table, else all.")
@with_client
@with_output
async def leaderboard(
    client: AsyncClient,
    out: Output,
    metric: str | None,
    network: str | None,
    dataset: str | None,
    action: str | None,
    trials: bool | None,
    size: int | None,
) -> None:
    """Rank jobs by the best value of a metric."""
    chosen = None if dataset is None else await dataset_id(client, dataset)
    found = await client.jobs.leaderboard(
        metric=metric, network=network, dataset=chosen, action=action, trials=trials, size=out.size(size)
    )
    if out.form is out.form.IDS:
        out.ids(entry.job_id for entry in found.entries)
    else:
        out.answer(found, lambda: jobs_table.ranking(out, found))


@job.command("compare")
@jobs_argument
@click.option("--markdown", "form", flag_value="markdown", help="Print Markdown tables.")
@click.option("--csv", "form", flag_value="csv", help="Print one CSV table.")
@click.option("--html", "form", flag_value="html", help="Print one HTML page with plots of the metrics.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; its ending names the form, too.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@with_client
@with_output
async def compare(
    client: AsyncClient, out: Output, jobs: tuple[str, ...], form: str | None, output: Path | None, force: bool
) -> None:
    """Show jobs side by side: metrics at their best and last epoch, data, time, and how specifications differ.

    In CSV and JSON, numbers have all their digits.
    """
    from taod.cli.support import comparison
    from taod.client.comparison import compare as side_by_side

    if len(jobs) < 2:
        raise click.UsageError("name two jobs or more")
    ids = [await job_id(client, each) for each in jobs]
    found = side_by_side([await client.jobs.get(id) for id in ids])
    forms = {"markdown": comparison.as_markdown, "csv": comparison.as_csv, "html": comparison.as_html}
    if form is None and output is not None:
        form = {".md": "markdown", ".csv": "csv", ".html": "html", ".htm": "html"}.get(output.suffix.lower())
        if form is None:
            raise click.UsageError(f"{output}: the name ends in .md, .csv or .html, or name the form")
    if form is None:
        if out.form is out.form.JSON:
            print_json(found)
        else:
            comparison.show(found, out)
        return
    text = forms[form](found)
    if output is None:
        click.echo(text, nl=False)
        return
    target = target_file(output, output.name, force)
    target.write_text(text, encoding="utf-8")
    out.print_sentence(f"Wrote {target}.")


@job.command("log")
@job_argument
@click.option("-n", "--tail", type=click.IntRange(1), help="Only the last lines.")
@click.option("-f", "--follow", is_flag=True, help="Follow the log until the job has ended.")
@with_client
async def log(client: AsyncClient, job_: str, tail: int | None, follow: bool) -> None:
    """Print a job's log: unchanged, but to a terminal without control characters other than colours."""
    write = _writer()
    whole_id = await job_id(client, job_)
    end = 0
    if tail or not follow:
        part = await client.logs.tail(whole_id, tail or ALL_LINES)
        write(part.data)
        end = part.end
    if follow:
        async for chunk in client.logs.follow(whole_id, end):
            write(chunk)


def _writer() -> Callable[[bytes], None]:
    """Writes parts of a log: to a terminal as safe text, anywhere else unchanged."""
    terminal, text = sys.stdout.isatty(), LogText()

    def write(chunk: bytes) -> None:
        if terminal:
            sys.stdout.write(text.feed(chunk))
        else:
            sys.stdout.buffer.write(chunk)
        sys.stdout.flush()

    return write


@job.command("follow")
@job_argument
@with_client
@with_output
async def follow(client: AsyncClient, out: Output, job_: str) -> None:
    """Watch a job's progress until it has ended; exit 1 unless it is done."""
    from taod.cli.support.progress import watch

    view = await watch(client, await job_id(client, job_), out.aside)
    out.answer(view, lambda: None)
    _exit_unless_done([view])


@job.command("wait")
@jobs_argument
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Give up after this many seconds and exit 1.",
)
@with_client
@with_output
async def wait(client: AsyncClient, out: Output, jobs: tuple[str, ...], timeout_s: float | None) -> None:
    """Wait until all jobs have ended. Exit 0 if all are done, 1 if one failed or was cancelled.

    A paused job has not ended. The wait survives a restart of the daemon.
    """
    from taod.cli.support.progress import until_ended

    ids = [await job_id(client, each) for each in jobs]
    ended: list[JobView] = []

    def report(view: JobView) -> None:
        if out.form is out.form.TABLE:
            click.echo(_line(view), err=True)

    try:
        async with asyncio.timeout(timeout_s):
            for id in ids:
                ended.append(await until_ended(client, id, report))
                out.changed(ended[-1], _line(ended[-1]))
    except TimeoutError:
        late = (await client.jobs.get(ids[len(ended)])).job
        raise click.ClickException(f"{late.action} {late.id} is still {late.state} after {timeout_s:g} s") from None
    _exit_unless_done(ended)


def _line(view: JobView) -> str:
    return f"{view.action} {short(view.id)}: {view.state}. {view.reason}"


def _exit_unless_done(views: list[JobView]) -> None:
    if any(view.state is not State.DONE for view in views):
        raise SystemExit(1)


def _control(name: str, help_line: str) -> None:
    """Add a command that calls the client's method of the same name for each job."""

    @job.command(name, help=help_line)
    @jobs_argument
    @with_client
    @with_output
    async def control(client: AsyncClient, out: Output, jobs: tuple[str, ...]) -> None:
        for id in [await job_id(client, each) for each in jobs]:
            view = await getattr(client.jobs, name)(id)
            out.changed(view, _line(view))


_control("cancel", "Cancel jobs and the jobs that depend on them. Checkpoints are kept.")
_control("pause", "Pause running trainings at a checkpoint.")
_control("resume", "Resume paused, cancelled or failed trainings from their last checkpoint.")


def _set_held(name: str, held: bool, help_line: str) -> None:
    """Add a command that holds or releases jobs."""

    @job.command(name, help=help_line)
    @jobs_argument
    @with_client
    @with_output
    async def patch(client: AsyncClient, out: Output, jobs: tuple[str, ...]) -> None:
        for id in [await job_id(client, each) for each in jobs]:
            view = await client.jobs.update(id, JobPatch(held=held))
            out.changed(view, _line(view))


_set_held("hold", True, "Hold jobs that have not started: they do not start until released.")
_set_held("release", False, "Return held jobs to the queue.")


@job.command("priority", context_settings={"ignore_unknown_options": True})
@job_argument
@click.argument("number", type=int)
@with_client
@with_output
async def priority(client: AsyncClient, out: Output, job_: str, number: int) -> None:
    """Change the priority of a job that has not started: -100 to 100, default 0. Higher priorities start first."""
    view = await client.jobs.update(await job_id(client, job_), JobPatch(priority=number))
    out.changed(view, f"{view.action} {short(view.id)}: priority {view.priority}. {view.reason}")


@job.command("move")
@job_argument
@click.option("--front", "position", flag_value="front", help="Before all jobs of its priority.")
@click.option("--back", "position", flag_value="back", help="After all jobs of its priority.")
@click.option("--before", metavar="JOB", help="Right before another job of its priority.")
@click.option("--after", metavar="JOB", help="Right after another job of its priority.")
@with_client
@with_output
async def move(
    client: AsyncClient, out: Output, job_: str, position: Any, before: str | None, after: str | None
) -> None:
    """Move a queued job among this user's jobs of its priority; to the front without an option."""
    if sum(each is not None for each in (position, before, after)) > 1:
        raise click.UsageError("give only one of --front, --back, --before JOB, --after JOB")
    if before is not None:
        body = JobPatch(before=await job_id(client, before))
    elif after is not None:
        body = JobPatch(after=await job_id(client, after))
    else:
        body = JobPatch(position=position or "front")
    view = await client.jobs.update(await job_id(client, job_), body)
    at = (await client.jobs.get(view.id)).job.position
    out.changed(view, f"{view.action} {short(view.id)}: {'moved' if at is None else f'position {at}'}. {view.reason}")


@job.command("spec")
@job_argument
@click.argument("file", type=click.File("rb"), required=False)
@json_option
@with_client
async def spec(client: AsyncClient, job_: str, file: IO[bytes] | None, as_json: bool) -> None:
    """Print the specification of a job; or, for a job that has not started, replace it with a YAML or JSON file."""
    whole_id = await job_id(client, job_)
    if file is not None:
        view = await client.jobs.update(
            whole_id, JobPatch(spec=documents.read(file.read(), getattr(file, "name", "standard input")))
        )
        if as_json:
            print_json(view)
        else:
            click.echo(_line(view))
        return
    document = (await client.jobs.get(whole_id)).spec
    if as_json:
        print_json(document)
    else:
        click.echo(documents.to_yaml(document) if document is not None else "", nl=False)


@job.command("rm")
@jobs_argument
@yes_option
@with_client
@with_output
async def rm(client: AsyncClient, out: Output, jobs: tuple[str, ...], yes: bool) -> None:
    """Delete ended jobs with all of their files."""
    ids = [await job_id(client, each) for each in jobs]
    if not yes:
        confirm([await _deletion(client, id) for id in ids], yes)
    for id in ids:
        deleted = await client.jobs.delete(id)
        out.changed(deleted, f"Deleted {deleted.action} {short(deleted.id)} of {deleted.owner_name!r}.")


async def _deletion(client: AsyncClient, id: str) -> str:
    view, files = (await client.jobs.get(id)).job, await client.files.list(id)
    contents = f"{len(files)} files, {size(sum(file.size_bytes for file in files))}, checkpoints included"
    return f"Deletes {view.action} {short(id)} of {view.owner_kind} {view.owner_name!r} ({view.state}): {contents}."


@job.command("download")
@job_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File or folder; default: JOB.tar.gz here.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@with_client
@with_output
async def download(client: AsyncClient, out: Output, job_: str, output: Path | None, force: bool) -> None:
    """Download all files of a job as one .tar.gz."""
    from taod.cli.support.progress import transfer

    view = (await client.jobs.get(await job_id(client, job_))).job
    into = target_file(output, f"{view.id}.tar.gz", force)
    with transfer(f"download {into.name}", out.aside) as report:
        await client.files.download_all(view.owner_kind, view.owner_id, view.id, into, report)
    out.changed(_downloaded(into), f"Wrote {into} ({size(into.stat().st_size)}).", id=view.id)


@job.command("files")
@job_argument
@click.argument("path", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File or folder for PATH; default: here.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@with_client
@with_output
async def files(
    client: AsyncClient, out: Output, job_: str, path: str | None, output: Path | None, force: bool
) -> None:
    """List the files of a job (--quiet: their paths), or download the one at PATH."""
    from taod.cli.support.progress import transfer

    whole_id = await job_id(client, job_)
    if path is None:
        found = await client.files.list(whole_id)
        if out.form is out.form.IDS:
            out.ids(file.path for file in found)
        else:
            out.listing(found, FILES)
        return
    into = target_file(output, Path(path).name, force)
    with transfer(f"download {into.name}", out.aside) as report:
        await client.files.download(whole_id, path, into, report)
    out.changed(_downloaded(into), f"Wrote {into} ({size(into.stat().st_size)}).", id=path)


class DownloadedFile(msgspec.Struct):
    """A file that a command has written."""

    path: str
    size_bytes: int


def _downloaded(into: Path) -> DownloadedFile:
    return DownloadedFile(str(into), into.stat().st_size)
