"""Progress of jobs, by the event stream, and of transfers: a live bar on a terminal, else a line per epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from taod.client import AsyncClient
from taod.types.event import StatusUpdate
from taod.types.job import JobView
from taod.types.state import State


async def watch(client: AsyncClient, job_id: str, console: Console) -> JobView:
    """Show the progress of a job until it has ended; returns its final view. A pause does not end the wait."""
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[words]}", markup=False),
        TimeElapsedColumn(),
    )
    view = (await client.jobs.get(job_id)).job
    metrics: dict[str, float | None] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(view.action, total=None, words=view.reason)
        async with aclosing(client.jobs.watch(job_id)) as updates:
            async for update in updates:
                if isinstance(update, JobView):
                    view = update
                    paused = view.state is State.PAUSED
                    if paused and not console.is_terminal:
                        console.print(
                            f"  {view.action}: {view.reason}; `taod job resume` continues it",
                            markup=False,
                            highlight=False,
                        )
                    progress.update(bar, words=view.reason if paused else _metrics_text(metrics) or view.reason)
                    if view.state.ended:
                        break
                    continue
                metrics.update(update.kpi)
                if not console.is_terminal and update.epoch is not None and update.kpi:
                    console.print(
                        f"  {view.action} {_epoch(update)}: {_metrics_text(metrics)}", markup=False, highlight=False
                    )
                progress.update(bar, total=update.max_epoch, completed=update.epoch or 0, words=_line(update, metrics))
    console.print(f"  {view.action}: {view.state}. {view.reason}", markup=False, highlight=False, soft_wrap=True)
    return view


async def until_ended(client: AsyncClient, job_id: str, report: Callable[[JobView], None]) -> JobView:
    """Wait without a limit until a job has ended; returns its final view. `report` gets each earlier state."""
    state: State | None = None
    async with aclosing(client.jobs.watch(job_id)) as updates:
        async for update in updates:
            if not isinstance(update, JobView):
                continue
            if update.state.ended:
                return update
            if update.state is not state:
                state = update.state
                report(update)
    raise AssertionError("the event stream ended")


@contextmanager
def transfer(title: str, console: Console) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar during the block, on a terminal; yields a callback (transferred bytes, total bytes or None)."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=None)

        def report(moved: int, total: int | None) -> None:
            complete = total is not None and moved >= total
            progress.update(bar, completed=moved, total=total, description=f"{title}: finishing" if complete else title)

        yield report


def _epoch(update: StatusUpdate) -> str:
    return f"epoch {update.epoch}/{update.max_epoch or '?'}"


def _line(update: StatusUpdate, metrics: dict[str, float | None]) -> str:
    parts = [_epoch(update) if update.epoch is not None else "", _metrics_text(metrics)]
    if update.eta:
        parts.append(f"ETA {update.eta.split('.')[0]}")
    return "  ".join(part for part in parts if part) or update.message


def _metrics_text(metrics: dict[str, float | None]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in metrics.items() if value is not None)
