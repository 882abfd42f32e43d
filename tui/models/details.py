"""Details of one model: network, datasets, sweep and jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from taod.types.algorithm import ALGORITHMS
from taod.types.job import Job
from taod.types.model import Model
from taod.types.release import BASE
from taod.types.state import Status
from tui import format
from tui.live import LiveNode, delivery
from tui.models.sweep import BOUNDS, algorithm_of, named
from tui.theme import BLUE, DIM, GREEN, RED, SOFT, TEXT

MOST_JOBS = 12
COLUMNS = (
    ("id", "Model", 8),
    ("name", "Name", 0),
    ("network", "Network", 22),
    ("jobs", "Jobs", 4),
    ("last", "Last", 11),
    ("age", "Age", 4),
)
COLOURS = {Status.PENDING: BLUE, Status.RUNNING: GREEN, Status.DONE: GREEN, Status.ERROR: RED}


def rows(model: Model) -> Sequence[Text]:
    """A model's cells in the list."""
    last = max(model.jobs, key=lambda job: job.created_on, default=None)
    return (
        Text(format.short(model.id), style=SOFT, no_wrap=True),
        Text(model.name, style=TEXT, no_wrap=True, overflow="ellipsis"),
        Text(model.network_arch, style=SOFT, no_wrap=True, overflow="ellipsis"),
        Text(str(len(model.jobs) or ""), style=DIM, justify="right"),
        Text(f"{last.action}", style=COLOURS[last.status], no_wrap=True, overflow="ellipsis") if last else Text(""),
        Text(format.age(model.created_on, format.now()), style=DIM, justify="right"),
    )


def facts(model: Model, names: Mapping[str, str]) -> Group:
    """One line for each fact; `names`: datasets and pretrained models by id."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=12)

    def row(name: str, value: str, style: str = TEXT) -> None:
        table.add_row(Text(name, style=DIM), Text(value, style=style, overflow="fold"))

    row("model", model.id)
    row("network", f"{model.network_arch}  {model.dataset_type}")
    if model.release != BASE:
        row("release", model.release)
    row("created", format.moment(model.created_on))
    if model.description:
        row("description", model.description, SOFT)
    row("train on", ", ".join(names.get(each, each) for each in model.train_datasets) or "nothing yet")
    for label, one in (
        ("evaluate on", model.eval_dataset),
        ("infer on", model.inference_dataset),
        ("calibrate", model.calibration_dataset),
    ):
        if one is not None:
            row(label, names.get(one, one))
    if model.ptm:
        row("starts from", ", ".join(names.get(each, each) for each in model.ptm))
    row("metric", model.metric, SOFT)
    if model.automl_enabled:
        row(
            "sweep",
            swept(model),
            GREEN,
        )
        for label, field in (
            ("also searched", model.automl_add_hyperparameters),
            ("not searched", model.automl_remove_hyperparameters),
        ):
            if named(field):
                row(label, ", ".join(named(field)), SOFT)
    row("actions", ", ".join(model.actions), SOFT)
    return Group(table, *_jobs(model.jobs))


def swept(model: Model) -> str:
    """Algorithm of the sweep and its bounds."""
    name = algorithm_of(model) or ""
    chosen = ALGORITHMS.get(name.casefold())
    labels = {field: label for field, label, *_ in BOUNDS}
    bounds = [f"{labels[field]} {getattr(model, field)}" for field in chosen.fields] if chosen is not None else []
    return ", ".join([name, *bounds])


def _jobs(jobs: Sequence[Job]) -> list[Text | Table]:
    if not jobs:
        return [Text("\nNo jobs yet. e: edit a specification · t: train", style=DIM)]
    table = Table.grid(padding=(0, 2, 0, 0))
    newest = sorted(jobs, key=lambda job: job.created_on, reverse=True)
    for job in newest[:MOST_JOBS]:
        status = job.reported.detailed_status
        message = status.message if status else ""
        table.add_row(
            Text(format.short(job.id), style=SOFT),
            Text(job.action, style=TEXT),
            Text(job.status.value, style=COLOURS[job.status]),
            Text(message.partition("\n")[0], style=SOFT, no_wrap=True, overflow="ellipsis"),
        )
    if len(newest) > MOST_JOBS:
        table.add_row(Text(f"and {len(newest) - MOST_JOBS} more", style=DIM))
    return [Text("\nJobs", style=f"bold {SOFT}"), table]


class ModelDetails(LiveNode, VerticalScroll):
    """Draws one model."""

    def __init__(self) -> None:
        super().__init__(id="model-details", classes="panel details")

    def compose(self) -> ComposeResult:
        yield Static(id="model-facts")

    @delivery
    def show(self, model: Model | None, names: Mapping[str, str]) -> None:
        self.border_title = model.name.replace("[", r"\[") if model else "Model"
        self.query_one("#model-facts", Static).update(facts(model, names) if model else "")
