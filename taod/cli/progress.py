"""One job's progress on a terminal, from the event stream: a live bar, or a line an epoch where nobody watches."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from taod.client.http import Client
from taod.types.event import EventType, StatusUpdate
from taod.types.job import JobView


async def watch(client: Client, job_id: str, console: Console) -> JobView:
    """Show a job until it has ended or was paused; returns it as it is then."""
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        view = (await client.job(job_id)).job
        bar = progress.add_task(view.action, total=None, words=view.reason)
        figures: dict[str, float | None] = {}
        async for event in client.events():
            if isinstance(event.body, StatusUpdate) and event.body.job_id == job_id:
                update = event.body
                if update.kpi:
                    figures.update(update.kpi)
                if update.epoch is not None and update.kpi and not console.is_terminal:
                    console.print(f"  {view.action} epoch {update.epoch}/{update.max_epoch or '?'}: {_words(figures)}")
                progress.update(
                    bar,
                    total=update.max_epoch,
                    completed=update.epoch or 0,
                    words=f"{_words(figures)}{f' ETA {update.eta}' if update.eta else ''}" or update.message,
                )
                continue
            if event.type is EventType.JOB and isinstance(event.body, JobView) and event.body.id == job_id:
                view = event.body
            elif event.type in (EventType.RESET, EventType.CONNECTED):
                view = (await client.job(job_id)).job
            else:
                continue
            progress.update(bar, words=_words(figures) or view.reason)
            if view.state.ended or view.state.value == "paused":
                break
    console.print(f"  {view.action}: {view.state}. {view.reason}", highlight=False)
    return view


def _words(figures: dict[str, float | None]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None)
