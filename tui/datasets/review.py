"""Texts for the full check of a dataset, for uploads, and for statistics of boxes and images. Pure."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from taod.types.dataset import (
    BoxFigures,
    CheckState,
    DatasetProblem,
    DatasetReport,
    ImageFigures,
    Spread,
    UploadProgress,
)
from tui import format
from tui.theme import BLUE, DIM, GREEN, ORANGE, RED, SOFT, TEXT, YELLOW

BAR_CELLS = 24
MOST_PROBLEMS = 30
SHOWN_CLASSES = 8
GOING = frozenset({CheckState.WAITING, CheckState.RUNNING})
INK = {
    CheckState.DONE: GREEN,
    CheckState.RUNNING: BLUE,
    CheckState.WAITING: BLUE,
    CheckState.FAILED: RED,
    CheckState.CANCELLED: ORANGE,
    CheckState.OUTDATED: YELLOW,
}
STAGES = {
    "receiving": "uploading",
    "unpacking": "unpacking",
    "checking": "checking",
    "waiting": "waiting for the next part",
    "failed": "rejected",
    "done": "uploaded",
}


def spread(figures: Spread) -> str:
    """`12 to 480, median 96`."""
    if figures.least == figures.most:
        return format.number(figures.least)
    ends = f"{format.number(figures.least)} to {format.number(figures.most)}"
    return f"{ends}, median {format.number(figures.median)}"


def boxes(figures: BoxFigures) -> str:
    sides = f"{spread(figures.width)} wide, {spread(figures.height)} high"
    return f"{figures.boxes:,}: {sides}; per image {spread(figures.per_image)}"


def sizes(figures: ImageFigures) -> str:
    return f"{spread(figures.width)} wide, {spread(figures.height)} high ({figures.measured:,} measured)"


def shares(figures: dict[str, float]) -> str:
    """Share of the masks' pixels by class, the largest first."""
    ordered = sorted(figures.items(), key=lambda each: -each[1])
    listed = ", ".join(f"{name} {share:.1%}" for name, share in ordered[:SHOWN_CLASSES])
    return f"{listed} and {len(ordered) - SHOWN_CLASSES} more" if len(ordered) > SHOWN_CLASSES else listed


def upload(progress: UploadProgress) -> Text:
    """Progress of an upload, with a bar if its length is known."""
    stage = STAGES.get(progress.stage, progress.stage)
    text = Text(no_wrap=True, overflow="ellipsis")
    if progress.total:
        text.append_text(format.bar(progress.received / progress.total, BAR_CELLS, BLUE))
        text.append(f"  {format.size(progress.received)} of {format.size(progress.total)}  ", style=SOFT)
    elif progress.received:
        text.append(f"{format.size(progress.received)}  ", style=SOFT)
    text.append(stage, style=RED if progress.stage == "failed" else TEXT)
    if progress.files:
        text.append(f"  {progress.files:,} files, {format.size(progress.unpacked)} unpacked", style=DIM)
    if progress.message:
        text.append(f"  {progress.message}", style=SOFT)
    return text


def report(found: DatasetReport) -> Group:
    """State, counts and the first problems by file and line."""
    ink = INK.get(found.state, DIM)
    top = Text("\nCheck  ", style=f"bold {SOFT}").append(found.state.value, style=f"not bold {ink}")
    if found.state in GOING:
        top.append("  ").append_text(format.bar(found.progress, BAR_CELLS, BLUE)).append(f" {found.progress:.0%}")
    parts: list[Text | Table] = [top]
    if found.state is CheckState.NONE:
        parts.append(Text("Press v to check all files.", style=SOFT))
    elif found.message:
        clean = found.state is CheckState.DONE and not found.problems
        parts.append(Text("✓ " if clean else "", style=GREEN).append(found.message, style=SOFT))
    if found.items and found.state not in GOING:
        depth = "images decoded completely" if found.deep else "image headers read"
        took = format.duration(format.seconds_between(found.started_on, found.ended_on, format.now()))
        parts.append(Text(f"{depth}{f' in {took}' if took else ''}", style=DIM))
    if found.first:
        parts.append(problems(found))
    return Group(*parts)


def problems(found: DatasetReport) -> Table:
    """One row for each problem: location, problem, expected value."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for each in found.first[:MOST_PROBLEMS]:
        table.add_row(
            Text(position_text(each), style=BLUE, overflow="fold"),
            Text(each.what, style=TEXT, overflow="fold"),
            Text(each.expected, style=DIM, overflow="fold"),
        )
    more = found.problems - min(len(found.first), MOST_PROBLEMS)
    if more > 0:
        table.add_row(Text(f"and {more:,} more", style=DIM))
    return table


def position_text(problem: DatasetProblem) -> str:
    """`labels/7.txt:3`; without a line for a problem of the whole file."""
    return f"{problem.file}:{problem.line}" if problem.line else problem.file
