"""`taod job`: list, show, follow, cancel, pause and resume jobs."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import rich_click as click
from rich.console import Console
from rich.table import Table

from taod.cli.options import with_client
from taod.cli.plan import plan
from taod.cli.progress import watch
from taod.client.http import Client
from taod.errors import BadRequest
from taod.types.job import JobView
from taod.types.state import State

console = Console()
ALL_LINES = 10**9
COLOURS = {
    State.DONE: "green",
    State.FAILED: "red",
    State.CANCELLED: "yellow",
    State.RUNNING: "cyan",
    State.PAUSED: "magenta",
}


@click.group()
def job() -> None:
    """Jobs of this user. An id may be cut short where it stays unique."""


job.add_command(plan)


@job.command("ls")
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only jobs in this state.")
@click.option("--size", type=click.IntRange(1), default=30, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="The API's answer instead of a table.")
@with_client
async def ls(client: Client, state: str | None, size: int, as_json: bool) -> None:
    """List jobs, the newest first."""
    page = await client.jobs(size=size, state=State(state) if state else None)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(page.items)).decode())
        return
    table = Table("job", "owner", "action", "state", "epoch", "metric", "reason", box=None, pad_edge=False)
    for view in page.items:
        table.add_row(*_row(view))
    console.print(table)
    if page.total > len(page.items):
        console.print(f"{page.total - len(page.items)} more; --size {page.total} shows all", style="dim")


def _row(view: JobView) -> list[str]:
    colour = COLOURS.get(view.state, "white")
    epoch = f"{view.result.epoch}/{view.result.max_epoch or '?'}" if view.result.epoch is not None else ""
    metric = f"{view.metric} {view.metric_value:.4g}" if view.metric_value is not None else ""
    return [view.id[:8], view.owner_name, view.action, f"[{colour}]{view.state}[/]", epoch, metric, view.reason]


async def resolve(client: Client, text: str) -> str:
    """The whole id of a job from its beginning. Raises BadRequest when none or several begin so."""
    if len(text) == 36:
        return text
    page = await client.jobs(text=text, size=50)
    matching = [view.id for view in page.items if view.id.startswith(text)]
    if len(matching) != 1:
        said = f"several: {', '.join(each[:13] for each in matching)}" if matching else "none"
        raise BadRequest(f"job {text!r}: {said}; `taod job ls` shows them")
    return matching[0]


@job.command("show")
@click.argument("job_id")
@with_client
async def show(client: Client, job_id: str) -> None:
    """Everything about one job: state, reasons, KPIs, spec, process, as JSON."""
    detail = await client.job(await resolve(client, job_id))
    click.echo(msgspec.json.format(msgspec.json.encode(detail)).decode())


@job.command("log")
@click.argument("job_id")
@click.option("-n", "--tail", type=click.IntRange(1), help="Only the last lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@with_client
async def log(client: Client, job_id: str, tail: int | None, follow: bool) -> None:
    """Print a job's log."""
    whole_id = await resolve(client, job_id)
    end = 0
    if tail or not follow:
        part = await client.log_tail(whole_id, tail or ALL_LINES)
        _write(part.data)
        end = part.end
    if follow:
        async for chunk in client.follow_log(whole_id, end):
            _write(chunk)


def _write(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


@job.command("follow")
@click.argument("job_id")
@with_client
async def follow(client: Client, job_id: str) -> None:
    """Watch a job's progress until it has ended; exit 1 unless it is done."""
    view = await watch(client, await resolve(client, job_id), console)
    if view.state is not State.DONE:
        raise SystemExit(1)


def _action(name: str, line: str) -> Any:
    @job.command(name, help=line)
    @click.argument("job_id")
    @with_client
    async def act(client: Client, job_id: str) -> None:
        view = await getattr(client, name)(await resolve(client, job_id))
        console.print(f"{view.action} {view.id[:8]}: {view.state}. {view.reason}", highlight=False)

    return act


_action("cancel", "Cancel a job and what waits for it; checkpoints are kept.")
_action("pause", "Stop a train so that it can go on later; anything else is cancelled.")
_action("resume", "Go on with a paused, cancelled or failed train from its last checkpoint.")
