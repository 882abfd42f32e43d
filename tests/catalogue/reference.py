"""Reads the files under facts/: the tables of the reference and the meaning of their terms."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

FACTS = Path(__file__).parent / "facts"
NAMES = sorted(path.stem for path in FACTS.glob("*.tsv"))
_TYPES = {
    "int": "int",
    "integer": "int",
    "ordered_int": "int",
    "float": "float",
    "bool": "bool",
    "string": "string",
    "categorical": "string",
    "ordered": "string",
    "enum": "string",
    "list": "list",
    "list of floats": "list",
    "collection": "object",
    "dict": "object",
    "hidden": "any",
    # Slips of the pen, read as what they mean.
    "String": "string",
    "srting": "string",
    "Collection": "object",
}


class Fact(NamedTuple):
    """One line of a table, as it is written."""

    path: str
    type: str
    default: str
    minimum: str
    maximum: str
    options: str
    flags: str
    math: str
    parent: str
    depends: str


class Facts(NamedTuple):
    """The reference's facts of one network."""

    network: list[str]
    """Dataset type, formats, image, spec format, class-wise, actions."""
    commands: dict[str, dict[str, str]]
    fields: dict[str, dict[str, str]]
    sweep_commands: dict[str, str]
    sweep_fields: dict[str, str]
    tables: dict[str, list[Fact]]
    """Action -> lines; the name of an action ends at `__`, what follows is the format it is for."""


@lru_cache(maxsize=64)
def facts(name: str) -> Facts:
    found = Facts([], {}, {}, {}, {}, {})
    for line in (FACTS / f"{name}.tsv").read_text(encoding="utf-8").splitlines():
        kind, *cells = line.split("\t")
        if kind == "network":
            found.network.extend(cells)
        elif kind in ("cli", "spec"):
            (found.commands if kind == "cli" else found.fields)[cells[0]] = _pairs(cells[1:])
        elif kind in ("automl_cli", "automl_spec"):
            (found.sweep_commands if kind == "automl_cli" else found.sweep_fields).update(_pairs(cells))
        else:
            assert kind == "row", line
            path, *rest = (cells[1:] + [""] * 10)[:10]
            fact = Fact(path.replace(" ", ""), *rest)
            for action in cells[0].split(" "):
                found.tables.setdefault(action.partition("__")[0], []).append(fact)
    if found.network[2] == "tlt-pytorch" and found.network[0]:
        # The service adds these to every command line of the PyTorch image.
        for action, fields in found.commands.items():
            if action != "gen_trt_engine":
                found.commands[action] = {**_SERVICE_OPTIONS, **fields}
    return found


_SERVICE_OPTIONS = {"results_dir": "output_dir", "key": "key"}


def every_line() -> Iterator[tuple[str, str, Fact]]:
    for name in NAMES:
        for action, lines in facts(name).tables.items():
            for fact in lines:
                yield name, action, fact


def table_of(name: str, action: str) -> dict[str, Fact]:
    """One line for each path: of a repeated path the longer line, else the first."""
    chosen: dict[str, Fact] = {}
    for fact in facts(name).tables[action]:
        before = chosen.get(fact.path)
        if before is None or len("".join(fact)) > len("".join(before)):
            chosen[fact.path] = fact
    return chosen


def type_of(fact: Fact) -> str:
    """The type of a line; "" where it has none. A constant has its value's type."""
    if fact.type == "const":
        return "int" if fact.default.isdigit() else "string"
    return _TYPES.get(fact.type, "")


def number(text: str) -> float | None:
    """A bound; None where there is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def value(fact: Fact, text: str) -> Any:
    """A default or an option as a value of the line's type; None where the text is none."""
    if text == "":
        return None
    match type_of(fact):
        case "bool":
            return {"true": True, "false": False}.get(text.strip().lower())
        case "int" | "float":
            return number(text)
        case "list" | "object" | "any" | "":
            try:
                return json.loads(text.lower() if text in ("TRUE", "FALSE") else text)
            except ValueError:
                return text
        case _:
            return text


def options(fact: Fact) -> list[Any]:
    """What the value must be out of; that of a boolean (`TRUE/FALSE`) says nothing new."""
    if type_of(fact) == "bool":
        return []
    return [value(fact, part.strip()) for part in fact.options.split(",") if part.strip()]


def rules(fact: Fact) -> tuple[int | None, list[str]]:
    """What the value must be a multiple of, and comparisons with other parameters: `< train.num_epochs`."""
    multiple: int | None = None
    against: list[str] = []
    for rule in (part.strip() for part in f"{fact.math},{fact.depends}".split(",") if part.strip()):
        operator = next((sign for sign in ("<=", ">=", "!=", "<", ">", "/") if rule.startswith(sign)), "")
        other = rule.removeprefix(operator).replace(" ", "")
        if operator == "/" and other.isdigit():
            multiple = int(other)
        else:
            against.append(f"{operator} {other}".strip())
    return multiple, against


def _pairs(cells: list[str]) -> dict[str, str]:
    return dict(cell.split("=", 1) for cell in cells)
