"""Titles, descriptions and rules of parameters as text."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import msgspec

from taod.catalogue.schema.tables import DATA, Comparison, Parameter, Table

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "object": "an object",
    "any": "anything",
}
_EXPANSIONS = {
    "lr": "learning rate",
    "num": "number of",
    "iou": "IoU",
    "nms": "NMS",
    "gpu": "GPU",
    "gpus": "GPUs",
    "trt": "TensorRT",
}
_OPERATORS = {
    "<": "be less than {}",
    "<=": "be at most {}",
    ">": "be greater than {}",
    ">=": "be at least {}",
    "!=": "differ from {}",
    "/": "be a multiple of {}",
}


@lru_cache(maxsize=1)
def descriptions() -> dict[str, tuple[str, str]]:
    """End of a path -> title and description of the parameters whose path ends with it."""
    return msgspec.json.decode((DATA / "descriptions.json").read_bytes(), type=dict[str, tuple[str, str]])


def described(path: str) -> tuple[str, str] | None:
    """Title and description of a parameter, or None.

    A line of descriptions.json applies to every path that ends with its key, in all networks; the longest matching
    key wins. `$.name` matches the top of a specification only.
    """
    lines = descriptions()
    found = lines.get(f"$.{path}")
    rest = path
    while found is None and rest:
        found = lines.get(rest)
        rest = rest.partition(".")[2]
    return found


def title(path: str) -> str:
    """The described title, else one derived from the path's last part: `max_epochs` -> `Max epochs`."""
    own = described(path)
    if own is not None:
        return own[0]
    name = path.rpartition(".")[2]
    parts = name.replace("-", "_").split("_")
    expanded = " ".join(_EXPANSIONS.get(part, part) for part in parts if part) or name
    return expanded[:1].upper() + expanded[1:]


def number(value: Any) -> str:
    """A bound as text: `1`, `0.5`, `1e-05`."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def span(low: Any, high: Any) -> str:
    """A range as text; empty where it has no bounds."""
    if low is not None and high is not None:
        return f" between {number(low)} and {number(high)}"
    if low is not None:
        return f" of at least {number(low)}"
    return f" of at most {number(high)}" if high is not None else ""


def kind(row: Parameter) -> str:
    """The rule for a value as text, without `must be`."""
    if row.const:
        return f"{row.default}"
    if row.options:
        return f"one of {', '.join(map(str, row.options))}" if len(row.options) > 1 else str(row.options[0])
    if row.type == "list":
        return "a list of numbers" if row.items == "float" else "a list"
    factor = f" and a multiple of {row.multiple_of}" if row.multiple_of else ""
    return _KINDS[row.type] + span(row.minimum, row.maximum) + factor


def rule(row: Parameter) -> str:
    return f"must be {kind(row)}"


def comparison(rule: Comparison, bound: Any) -> str:
    """`must be less than train.num_epochs (10)`."""
    return f"must {_OPERATORS[rule.operator].format(f'{rule.other} ({bound})')}"


def description(table: Table, row: Parameter) -> str:
    """The parameter's description, else its rule as text."""
    own = described(row.path)
    text = own[1] if own else f"{kind(row).capitalize() if not row.options else 'O' + kind(row)[1:]}."
    if row.options and not own and len(row.options) == 1:
        text = f"Always {row.options[0]}."
    for wanted in table.comparisons:
        if wanted.path == row.path:
            text += f" Must {_OPERATORS[wanted.operator].format(f'`{wanted.other}`')}."
    return f"{text} {row.note[:1].upper()}{row.note[1:]}." if row.note else text


LONGEST_NAME = 100
"""Characters. A longer name is not compared with the known ones."""


def nearest(table: Table, path: str) -> str | None:
    """The known path most similar to an unknown one: a sibling, else one whose last name is the same or similar."""
    shown = [p for p, row in table.rows.items() if not row.hidden]
    above, _, name = path.rpartition(".")
    if len(name) > LONGEST_NAME:
        return None
    siblings = [p for p in shown if p.rpartition(".")[0] == above]
    named = get_close_matches(name, [p.rpartition(".")[2] for p in siblings], n=1, cutoff=0.6)
    if named:
        return f"{above}.{named[0]}" if above else named[0]
    namesakes = [p for p in shown if p.rpartition(".")[2] == name]
    if namesakes:
        return namesakes[0]
    by_name = {p.rpartition(".")[2]: p for p in reversed(shown)}
    close = get_close_matches(name, by_name, n=1, cutoff=0.7)
    return by_name[close[0]] if close else None
