"""One job's progress on a terminal, from the event stream: a live bar, or a line an epoch where nobody watches."""

from __future__ import annotations

from contextlib import aclosing

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from taod.client.http import Client
from taod.client.watch import watch_job
from taod.types.event import StatusUpdate
from taod.types.job import JobView
from taod.types.state import State


async def watch(client: Client, job_id: str, console: Console) -> JobView:
    """Show a job until it has ended; returns it as it is then. A pause is told and waited out."""
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
    )
    view = (await client.job(job_id)).job
    figures: dict[str, float | None] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(view.action, total=None, words=view.reason)
        async with aclosing(watch_job(client, job_id)) as updates:
            async for update in updates:
                if isinstance(update, JobView):
                    view = update
                    paused = view.state is State.PAUSED
                    if paused and not console.is_terminal:
                        console.print(f"  {view.action}: {view.reason}; `taod job resume` goes on", highlight=False)
                    progress.update(bar, words=view.reason if paused else _words(figures) or view.reason)
                    if view.state.ended:
                        break
                    continue
                figures.update(update.kpi)
                if not console.is_terminal and update.epoch is not None and update.kpi:
                    console.print(f"  {view.action} {_epoch(update)}: {_words(figures)}", highlight=False)
                progress.update(bar, total=update.max_epoch, completed=update.epoch or 0, words=_line(update, figures))
    console.print(f"  {view.action}: {view.state}. {view.reason}", highlight=False, soft_wrap=True)
    return view


def _epoch(update: StatusUpdate) -> str:
    return f"epoch {update.epoch}/{update.max_epoch or '?'}"


def _line(update: StatusUpdate, figures: dict[str, float | None]) -> str:
    parts = [_epoch(update) if update.epoch is not None else "", _words(figures)]
    if update.eta:
        parts.append(f"ETA {update.eta.split('.')[0]}")
    return "  ".join(part for part in parts if part) or update.message


def _words(figures: dict[str, float | None]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None)
