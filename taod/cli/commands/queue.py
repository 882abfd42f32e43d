"""`taod queue`: list, pause and resume the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from taod.cli.support.options import with_client
from taod.cli.support.output import Columns, Output, moment, number, short, with_output
from taod.types.job import JobView
from taod.types.queue import QueueState

if TYPE_CHECKING:
    from taod.client import AsyncClient

COLUMNS: Columns[JobView] = {
    "position": lambda view: str(view.position),
    "job": lambda view: short(view.id),
    "owner": lambda view: view.owner_name,
    "action": lambda view: view.action,
    "priority": lambda view: str(view.priority) if view.priority else "",
    "devices": lambda view: str(view.devices_wanted) if view.devices_wanted > 1 else "",
    "since": lambda view: moment(view.queued_at),
    "reason": lambda view: view.reason,
}


@click.group()
def queue() -> None:
    """The queue of all users."""


@queue.command("ls")
@click.option("--skip", type=click.IntRange(0), help="Skip this many.")
@click.option("--size", type=click.IntRange(1), help="Number of jobs; default 30 in a table, else all.")
@with_client
@with_output
async def ls(client: AsyncClient, out: Output, size: int | None, skip: int | None) -> None:
    """List this user's queued jobs in queue order. Positions count the jobs of all users."""
    page = await client.queue.list(skip=skip, size=out.size(size))
    out.listing(page.items, COLUMNS, total=page.total - (skip or 0))


@queue.command("status")
@with_client
@with_output
async def status(client: AsyncClient, out: Output) -> None:
    """Show whether the queue is open, its number of jobs, and its limits."""
    state = await client.queue.state()
    out.changed(state, _status(state), id=_state_word(state))


@queue.command("pause")
@click.argument("reason", nargs=-1)
@with_client
@with_output
async def pause(client: AsyncClient, out: Output, reason: tuple[str, ...]) -> None:
    """Start no queued job until `taod queue resume`; running jobs continue. Waiting jobs show REASON."""
    state = await client.queue.pause(" ".join(reason))
    out.changed(state, _status(state), id=_state_word(state))


@queue.command("resume")
@with_client
@with_output
async def resume(client: AsyncClient, out: Output) -> None:
    """Reopen a paused queue."""
    state = await client.queue.resume()
    out.changed(state, _status(state), id=_state_word(state))


def _state_word(state: QueueState) -> str:
    return "paused" if state.paused else "open"


def _status(state: QueueState) -> str:
    if state.paused:
        first = f"paused by {state.by} since {moment(state.since)}" + (f": {state.reason}" if state.reason else "")
    else:
        first = "open"
    held = f", {state.held} held" if state.held else ""
    lines = [
        f"The queue is {first}.",
        f"{number(state.running, 'job')} on devices, {state.queued} queued, "
        f"{state.waiting} waiting for a parent or data{held}.",
    ]
    limits = {
        "running": state.max_running,
        "running of one user": state.max_running_per_user,
        "not started of one user": state.max_queued_per_user,
    }
    lines += [f"At most {number(most, 'job')} {what}." for what, most in limits.items() if most]
    return "\n".join(lines)
