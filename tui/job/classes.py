"""Values of a metric by class: a heading and a table with the worst class first. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.columns import Columns
from rich.text import Text

from taod.types.job import Categorical, CategoryValue
from tui import format
from tui.theme import DIM, GREEN, SOFT, TEXT

NAME_CELLS = 16
VALUE_CELLS = 8


def chosen_classes(metric: str, categories: Sequence[Categorical]) -> Categorical | None:
    """Values by class of the chosen metric, else of the first metric that has some; None without any."""
    known = [each for each in categories if each.category_wise_values]
    return next((each for each in known if each.metric == metric), known[0] if known else None)


def worst_first(values: Sequence[CategoryValue]) -> list[CategoryValue]:
    """Ascending; classes without a value last."""
    return sorted(values, key=lambda each: (_missing(each), 0.0 if _missing(each) else each.value))


def class_head(classes: Categorical) -> Text:
    """Heading: the metric, the number of classes, and their mean."""
    values = [
        each.value for each in classes.category_wise_values if each.value is not None and math.isfinite(each.value)
    ]
    text = Text(f"{classes.metric} by class", style=SOFT, no_wrap=True, overflow="ellipsis")
    text.append(f"  {len(classes.category_wise_values)} classes, lowest first", style=DIM)
    if values:
        text.append("  mean ", style=DIM).append(format.number(sum(values) / len(values)), style=GREEN)
    return text


def class_table(classes: Categorical) -> Columns:
    """One cell a class, filled column by column, in as many columns as fit."""
    cells = []
    for each in worst_first(classes.category_wise_values):
        name = each.category if len(each.category) <= NAME_CELLS else each.category[: NAME_CELLS - 1] + "…"
        cell = Text(name.ljust(NAME_CELLS), style=TEXT, no_wrap=True)
        cells.append(cell.append(format.number(each.value).rjust(VALUE_CELLS), style=GREEN))
    return Columns(cells, equal=True, column_first=True, padding=(0, 3))


def _missing(each: CategoryValue) -> bool:
    return each.value is None or not math.isfinite(each.value)
