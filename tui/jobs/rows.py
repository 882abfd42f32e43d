"""A job as one row: the columns that fit a width, and the text of each cell. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from rich.text import Text

from taod.types.job import JobView
from taod.types.metric_direction import lower_is_better
from taod.types.state import State
from tui import format
from tui.theme import DIM, GLYPHS, GREEN, ORANGE, RED, SOFT, TEXT, YELLOW

PADDING = 2
"""Cells between columns."""
FLEXIBLE = "progress"
ROOMY, LONG_NAME = 130, 20
"""Table width from which a model's name gets LONG_NAME cells."""
SHORTEST_BAR, LONGEST_BAR = 6, 40


@dataclass(frozen=True, slots=True)
class Column:
    key: str
    title: str
    width: int
    from_width: int = 0
    """Narrowest table that shows it."""


COLUMNS = (
    Column("state", "", 2),
    Column("word", "State", 9, from_width=100),
    Column("id", "Job", 8),
    Column("action", "Action", 9, from_width=64),
    Column("model", "Model", 12),
    Column("network", "Network", 18, from_width=112),
    Column(FLEXIBLE, "Progress", 0),
    Column("value", "Metric", 9),
    Column("metric", "", 18, from_width=150),
    Column("device", "Device", 6, from_width=100),
    Column("age", "Age", 4, from_width=70),
)


def columns(width: int) -> list[Column]:
    """The columns that fit a table of `width` cells; the flexible one takes the remaining width."""
    shown = [column for column in COLUMNS if width >= column.from_width]
    shown = [
        replace(column, width=LONG_NAME) if column.key == "model" and width >= ROOMY else column for column in shown
    ]
    left = width - sum(column.width + PADDING for column in shown)
    return [Column(column.key, column.title, max(10, left)) if column.key == FLEXIBLE else column for column in shown]


def cells(
    view: JobView,
    now: datetime,
    progress_width: int,
    device_names: Mapping[str, str],
    *,
    marked: bool = False,
    trend: int = 0,
) -> dict[str, Text]:
    """Every cell of a job's row, by the key of its column."""
    glyph, colour = GLYPHS[view.state]
    ended = view.state.ended
    plain = SOFT if ended else TEXT
    return {
        "state": Text("▸" if marked else " ", style=f"bold {YELLOW}").append(glyph, style=colour),
        "word": Text(view.state.value, style=colour, no_wrap=True),
        "id": _cell(format.short(view.id), SOFT),
        "action": _cell(view.action if view.trial is None else f"└trial {view.trial}", plain),
        "model": _cell(view.owner_name, plain),
        "network": _cell(view.network, DIM if ended else SOFT),
        FLEXIBLE: progress(view, now, progress_width),
        "value": value(view, trend, plain),
        "metric": _cell(view.metric or "" if view.metric_value is not None else "", DIM),
        "device": _cell(", ".join(device_names.get(each, each) for each in view.devices), plain),
        "age": age(view, now),
    }


def value(view: JobView, trend: int, colour: str) -> Text:
    """The main metric with an arrow for its last change, green if it improved."""
    if view.metric_value is None:
        return Text("")
    text = Text(format.number(view.metric_value), style=colour)
    if trend and not view.state.ended:
        text.append(
            " ▲" if (trend > 0) is not lower_is_better(view.metric or "") else " ▼", style=GREEN if trend > 0 else RED
        )
    return text


def age(view: JobView, now: datetime) -> Text:
    return Text(format.age(view.created_on, now).rjust(4), style=DIM)


def remaining(view: JobView) -> str:
    return format.eta(view.result.eta) if view.state is State.RUNNING else ""


def progress(view: JobView, now: datetime, width: int) -> Text:
    """A bar of epochs while the job runs; otherwise the reason of its state."""
    state, result = view.state, view.result
    if state in (State.RUNNING, State.STOPPING):
        if result.max_epoch:
            return _bar(view, width)
        return _cell(_message(view) or view.reason, SOFT)
    if state is State.DONE:
        return _cell(_finished(view, now), DIM)
    colour = {State.FAILED: RED, State.CANCELLED: ORANGE, State.PAUSED: YELLOW}.get(state, SOFT)
    return _cell(view.reason, colour)


def _bar(view: JobView, width: int) -> Text:
    epoch, last = view.result.epoch or 0, view.result.max_epoch or 1
    tail = f" {epoch}/{last}"
    left = remaining(view)
    if left and width - len(tail) - len(left) - 1 >= SHORTEST_BAR:
        tail += f" {left}"
    colour = ORANGE if view.state is State.STOPPING else GREEN
    text = format.bar(epoch / last, min(LONGEST_BAR, max(SHORTEST_BAR, width - len(tail))), colour)
    text.append(tail, style=TEXT)
    text.no_wrap = True
    return text


def _finished(view: JobView, now: datetime) -> str:
    took = format.duration(format.seconds_between(view.started_at, view.ended_at, now)) if view.started_at else ""
    epochs = f"{view.result.epoch}/{view.result.max_epoch} epochs" if view.result.max_epoch else ""
    return " in ".join(part for part in (epochs or "finished", took) if part)


def _message(view: JobView) -> str:
    status = view.result.detailed_status
    return status.message if status is not None else ""


def _cell(words: str, colour: str) -> Text:
    return Text(words.partition("\n")[0], style=colour, no_wrap=True, overflow="ellipsis")
