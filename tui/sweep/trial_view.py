"""Texts, orders and colours of trials and their parameters. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from taod.types.sweep import Dimension, SweepView, TrialView, Values
from tui import format
from tui.theme import BLUE, DIM, GLYPHS, GREEN, ORANGE, RED, SOFT, TEAL, TEXT, YELLOW

RANKS = (RED, ORANGE, YELLOW, TEAL, GREEN)
"""Colours of values, from the worst to the best."""
OUTCOMES = {"done": GREEN, "open": BLUE, "failed": RED, "pruned": YELLOW, "cancelled": ORANGE}
ORDERS = ("number", "value")
BAR_CELLS = 16
NAME_CELLS = 22


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Short name of each path: its last part, with the part before it if two paths share the last."""
    names: dict[str, str] = {}
    for path in paths:
        parts = path.split(".")
        taken = sum(other.split(".")[-1] == parts[-1] for other in paths)
        names[path] = parts[-1] if taken == 1 else ".".join(parts[-2:])
    return names


def formatted(value: object) -> str:
    """Short text of a parameter's value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return format.number(value)
    return "–" if value is None else str(value)


def better_low(sweep: SweepView) -> bool:
    return sweep.direction == "minimise"


def ordered(sweep: SweepView, order: str) -> list[TrialView]:
    """The trials by number, or by value with the best first and those without a value last."""
    if order == "number":
        return sorted(sweep.trials, key=lambda trial: trial.number)
    sign = 1 if better_low(sweep) else -1
    return sorted(
        sweep.trials,
        key=lambda trial: (trial.value is None, sign * trial.value if trial.value is not None else 0.0, trial.number),
    )


def best_so_far(sweep: SweepView) -> tuple[list[int], list[float]]:
    """Numbers of the trials that have a value, and the best value up to each."""
    choose = min if better_low(sweep) else max
    numbers: list[int] = []
    values: list[float] = []
    for trial in ordered(sweep, "number"):
        if trial.value is not None and math.isfinite(trial.value):
            numbers.append(trial.number)
            values.append(choose(values[-1], trial.value) if values else trial.value)
    return numbers, values


def ranks(sweep: SweepView) -> dict[int, float]:
    """Rank of each trial with a value, from 0 (worst) to 1 (best); ranks are robust against outliers."""
    known = [trial for trial in ordered(sweep, "value") if trial.value is not None]
    last = max(1, len(known) - 1)
    return {trial.number: 1.0 - place / last for place, trial in enumerate(known)}


def colour(share: float) -> str:
    """Colour of a rank between 0 and 1."""
    return RANKS[min(len(RANKS) - 1, int(share * len(RANKS)))]


def axis_position(dimension: Dimension, value: object) -> float | None:
    """Position of a value on its axis, from 0 to 1; None if it is not on the axis."""
    if dimension.choices:
        if value not in dimension.choices:
            return None
        return dimension.choices.index(value) / max(1, len(dimension.choices) - 1)
    if not isinstance(value, int | float) or dimension.low is None or dimension.high is None:
        return None
    low, high, at = dimension.low, dimension.high, float(value)
    if dimension.log and low > 0 and at > 0:
        low, high, at = math.log(low), math.log(high), math.log(at)
    share = (at - low) / (high - low) if high > low else 0.5
    return max(0.0, min(1.0, share))


def ends(dimension: Dimension) -> tuple[str, str]:
    """Labels of the lower and upper end of its axis."""
    if dimension.choices:
        return formatted(dimension.choices[0]), formatted(dimension.choices[-1])
    return formatted(dimension.low), formatted(dimension.high)


def columns(sweep: SweepView) -> list[tuple[str, str, int]]:
    """Key, title and width of each column of the table of trials."""
    names = short_names([each.path for each in sweep.space])
    fixed = [("best", "", 1), ("number", "Trial", 5), ("state", "State", 10), ("value", sweep.metric[:12], 12)]
    fixed.append(("epochs", "Epochs", 6))
    return [*fixed, *((f"p:{path}", name, max(8, min(16, len(name)))) for path, name in names.items()), ("why", "", 0)]


def row(sweep: SweepView, trial: TrialView, share: float | None) -> list[Text]:
    """A trial's cells."""
    is_best = trial.number == sweep.best
    glyph, ink = GLYPHS[trial.state] if trial.state is not None else ("", DIM)
    word = trial.outcome if trial.outcome not in ("open", "done") or trial.state is None else trial.state.value
    if word in OUTCOMES and trial.outcome != "open":
        ink = OUTCOMES[word]
    plain = TEXT if is_best or trial.outcome == "open" else SOFT
    value = Text(format.number(trial.value) if trial.value is not None else "", style=colour(share or 0.0))
    why = trial.reason
    if trial.source is not None:
        why = f"from trial {trial.source}" + (f"; {why}" if why else "")
    return [
        Text("★" if is_best else " ", style=GREEN),
        Text(str(trial.number).rjust(5), style=plain),
        Text(f"{glyph} {word}", style=ink, no_wrap=True),
        value,
        Text(str(trial.epochs or "").rjust(6), style=plain),
        *(
            Text(formatted(trial.params.get(each.path)), style=plain, no_wrap=True, overflow="ellipsis")
            for each in sweep.space
        ),
        Text(why, style=DIM, no_wrap=True, overflow="ellipsis"),
    ]


def head(sweep: SweepView) -> Text:
    """Progress of the sweep and its best trial, in two lines."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(sweep.algorithm, style=f"bold {TEXT}")
    text.append(f" by {sweep.sampler}", style=DIM)
    done = sum(trial.outcome == "done" for trial in sweep.trials)
    of = f" of {sweep.planned}" if sweep.planned else ""
    text.append(f"  {done}{of} trials done", style=SOFT)
    open_trials = sum(trial.outcome == "open" for trial in sweep.trials)
    if open_trials:
        text.append(f", {open_trials} open", style=SOFT)
    failed = sum(trial.outcome == "failed" for trial in sweep.trials)
    if failed:
        text.append(f", {failed} failed", style=RED)
    text.append(f"  {sweep.epochs_trained} epochs", style=DIM)
    if sweep.planned:
        text.append("  ").append_text(format.bar(done / sweep.planned, BAR_CELLS))
    if sweep.best is None:
        return text.append("\nno trial has a value yet", style=DIM)
    way = "lowest" if better_low(sweep) else "highest"
    text.append(f"\nbest ({way}) {sweep.metric} ", style=DIM)
    text.append(format.number(sweep.best_value), style=f"bold {GREEN}")
    text.append(f" by trial {sweep.best}: ", style=DIM)
    return text.append_text(parameters(sweep.best_params or {}))


def parameters(values: Values) -> Text:
    """Names and values in one line."""
    names = short_names(list(values))
    text = Text(no_wrap=True, overflow="ellipsis")
    for path, value in values.items():
        text.append(f"{names[path]} ", style=SOFT).append(f"{formatted(value)}  ", style=TEXT)
    return text


def importance_view(sweep: SweepView) -> Group:
    """Importances of parameters, then notes on parameters that are not searched."""
    return Group(importance(sweep), *(Text(f"\n{note}", style=DIM) for note in sweep.notes))


def importance(sweep: SweepView) -> Table | Text:
    """Importance of each parameter as a bar."""
    if not sweep.importances:
        return Text("Importances need four trials with a value.", style=DIM)
    table = Table.grid(padding=(0, 1, 0, 0))
    names = short_names([each.parameter for each in sweep.importances])
    for each in sweep.importances:
        table.add_row(
            Text(names[each.parameter][:NAME_CELLS], style=TEXT),
            format.bar(each.importance, BAR_CELLS, BLUE),
            Text(f"{each.importance:.0%}".rjust(4), style=SOFT),
        )
    return table
