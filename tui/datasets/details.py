"""Details of one dataset: contents, location, upload, check, sample images and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from taod.client import AsyncClient
from taod.types.dataset import Dataset, DatasetReport, DatasetSummary, UploadProgress
from taod.types.warning_text import text
from tui import format
from tui.datasets import review
from tui.datasets.samples import Samples
from tui.live import LiveNode, delivery
from tui.theme import DIM, GREEN, SOFT, TEXT, YELLOW

MOST_CLASSES = 24
BAR_CELLS = 16


def rows(dataset: Dataset) -> Sequence[Text]:
    """A dataset's cells in the list."""
    return (
        Text(format.short(dataset.id), style=SOFT, no_wrap=True),
        Text(dataset.name, style=TEXT, no_wrap=True, overflow="ellipsis"),
        Text(dataset.type, style=SOFT, no_wrap=True, overflow="ellipsis"),
        Text(dataset.format, style=SOFT, no_wrap=True, overflow="ellipsis"),
        Text(str(len(dataset.jobs) or ""), style=DIM, justify="right"),
        Text(format.age(dataset.created_on, format.now()), style=DIM, justify="right"),
    )


COLUMNS = (
    ("id", "Dataset", 8),
    ("name", "Name", 0),
    ("type", "Type", 22),
    ("format", "Format", 18),
    ("jobs", "Jobs", 4),
    ("age", "Age", 4),
)


def facts(dataset: Dataset, summary: DatasetSummary | None, names: Mapping[str, str] | None = None) -> Group:
    """One line for each fact; `names`: dataset names by id."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=12)

    def row(name: str, value: str | Text, style: str = TEXT) -> None:
        text = value if isinstance(value, Text) else Text(value, style=style)
        text.overflow = "fold"
        table.add_row(Text(name, style=DIM), text)

    row("dataset", dataset.id)
    row("type", Text(f"{dataset.type}  ", style=TEXT).append(dataset.format, style=SOFT))
    row("created", format.moment(dataset.created_on))
    if dataset.description:
        row("description", dataset.description, SOFT)
    if summary is None:
        return Group(table)
    row("state", summary.state, GREEN if summary.state in ("ready", "linked") else SOFT)
    if summary.path:
        row("folder", summary.path)
    if summary.state == "empty":
        row("", "Press u to upload an archive or link a folder.", SOFT)
    if summary.files:
        row("contents", f"{summary.images:,} images in {summary.files:,} files, {format.size(summary.bytes)}")
    if summary.sizes is not None:
        row("sizes", review.sizes(summary.sizes))
    if summary.boxes is not None:
        row("boxes", review.boxes(summary.boxes))
    if summary.shares:
        row("pixels", review.shares(summary.shares))
    if summary.parent_dataset:
        row("derived from", (names or {}).get(summary.parent_dataset, summary.parent_dataset))
    if summary.parent_job:
        row("created by", f"job {summary.parent_job}")
    for warning in summary.warnings:
        row("warning", text(warning), YELLOW)
    if dataset.actions:
        row("actions", ", ".join(dataset.actions), SOFT)
    return Group(table)


def _splits(summary: DatasetSummary) -> list[Text | Table]:
    shown: list[Text | Table] = []
    for split in summary.splits:
        shown.append(Text(f"\n{split.name}", style=f"bold {SOFT}").append(f"  {split.images:,} images", style=DIM))
        if split.classes:
            shown.append(_classes(split.classes))
    if not any(split.classes for split in summary.splits) and summary.classes:
        shown.append(Text("\nClasses", style=f"bold {SOFT}"))
        shown.append(Text(", ".join(summary.classes), style=TEXT))
    return shown


def _classes(counts: dict[str, int]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    most = max(counts.values()) or 1
    for name, count in list(counts.items())[:MOST_CLASSES]:
        table.add_row(
            Text(name, style=TEXT, no_wrap=True), format.bar(count / most, BAR_CELLS), Text(f"{count:,}", style=SOFT)
        )
    if len(counts) > MOST_CLASSES:
        table.add_row(Text(f"and {len(counts) - MOST_CLASSES} more", style=DIM))
    return table


class DatasetDetails(LiveNode, VerticalScroll):
    """Draws one dataset: facts, its upload, the full check, images, classes."""

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(id="dataset-details", classes="panel details")
        self._client = client
        self._shown: str | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="dataset-facts")
        yield Static(id="dataset-upload")
        yield Static(id="dataset-report")
        yield Samples(self._client)
        yield Static(id="dataset-splits")

    @property
    def samples(self) -> Samples:
        return self.query_one(Samples)

    def on_mount(self) -> None:
        self.show(None, None)

    @delivery
    def show(
        self, dataset: Dataset | None, summary: DatasetSummary | None, names: Mapping[str, str] | None = None
    ) -> None:
        """Show this dataset; the upload and check of another one are cleared."""
        other = dataset is None or dataset.id != self._shown
        self._shown = dataset.id if dataset is not None else None
        if other:
            self.report(None)
        self.uploading(summary.upload if summary is not None else None)
        self.samples.show(self._shown, summary.fingerprint if summary is not None else None)
        self.query_one("#dataset-splits", Static).update(Group(*_splits(summary)) if summary is not None else "")
        self.border_title = dataset.name.replace("[", r"\[") if dataset else "Dataset"
        self.query_one("#dataset-facts", Static).update(facts(dataset, summary, names) if dataset else "")

    @delivery
    def uploading(self, progress: UploadProgress | None) -> None:
        """Progress of its upload; None: no upload."""
        line = self.query_one("#dataset-upload", Static)
        line.display = progress is not None
        line.update(Text("upload        ", style=DIM).append_text(review.upload(progress)) if progress else "")

    @delivery
    def report(self, found: DatasetReport | None) -> None:
        """Result or progress of its full check; None: no check."""
        block = self.query_one("#dataset-report", Static)
        block.display = found is not None
        block.update(review.report(found) if found is not None else "")
