"""Builds a sweep's search space from the catalogue's parameters and the user's additions, removals and ranges. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import msgspec

from taod.catalogue.network import Network, get_network
from taod.catalogue.schema import merge
from taod.catalogue.schema.descriptions import nearest
from taod.catalogue.schema.tables import Parameter, Table
from taod.errors import BadRequest, InvalidSpec
from taod.types.sweep import Dimension

GROUP = "automl"
"""The group of a train specification with the user's ranges; it is never passed to a tool."""
DECADES = 100
"""Ratio of the ends of a range from which on it is searched logarithmically."""
OPEN_FLOAT = 10.0
OPEN_INT = 2
"""Factor from the default to an end that the table leaves open."""
SURELY_A_FRACTION = 0.5
"""A default from here to 1 is a momentum, a decay or a probability: its open range ends at 1."""
_ORDERS = ("<", "<=", ">", ">=")


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The user's range of one parameter in the specification's `automl` group."""

    min: float | None = None
    max: float | None = None
    log: bool | None = None
    values: list[Any] | None = None
    multiple_of: int | None = None
    power_of: int | None = None


class Space(msgspec.Struct, frozen=True):
    """The searched dimensions, each after those that it depends on, and notes about omitted parameters."""

    dimensions: list[Dimension]
    notes: list[str] = []


def without_search(document: merge.Document) -> merge.Document:
    """The specification without its `automl` group."""
    return {name: group for name, group in document.items() if name != GROUP}


def names(field: str, stored: str) -> list[str]:
    """The parameter names in a model's field, which is a JSON list."""
    parsed = json.loads(stored or "[]")
    return [name for name in parsed if isinstance(name, str)]


def check_names(network: Network | str, field: str, wanted: Iterable[str]) -> None:
    """Raise BadRequest for a name that is not a searchable parameter of the network's training."""
    table = get_network(network).table("train")
    for name in wanted:
        row = table.rows.get(name)
        if row is None or row.hidden:
            hint = f"; the nearest is {near!r}" if (near := _nearest(table, name)) else ""
            raise BadRequest(f"{field}: {name!r} is no parameter of {table.network}'s train specification{hint}")
        if field.startswith("automl_add") and (row.const or row.type in ("list", "object", "any")):
            raise BadRequest(f"{field}: {name!r} is {_kind(row)}, which cannot be searched; leave it out")


def user_ranges(network: Network | str, document: merge.Document) -> dict[str, Range]:
    """The ranges in the specification's `automl` group. Raises InvalidSpec naming the entry and what is allowed."""
    group = document.get(GROUP)
    if group is None:
        return {}
    if not isinstance(group, dict):
        raise InvalidSpec(f'Invalid specs: $.{GROUP}: must be an object such as {{"<parameter>": {{"min": …}}}}')
    rows = get_network(network).table("train").rows
    found: dict[str, Range] = {}
    for path, given in group.items():
        if path not in rows:
            near = _nearest(get_network(network).table("train"), path)
            hint = f"; the nearest is {near!r}" if near else ""
            raise InvalidSpec(f"Invalid specs: $.{GROUP}: {path!r} is no parameter of the train specification{hint}")
        try:
            found[path] = msgspec.convert(given, Range)
        except msgspec.ValidationError as error:
            raise InvalidSpec(f"Invalid specs: $.{GROUP}.{path}: {error}; known are {_KNOWN}") from error
        _check_range(path, found[path], rows[path])
    return found


def build(network: Network | str, document: merge.Document, *, saved: bool, add: list[str], remove: list[str]) -> Space:
    """The search space of the train specification `document`; `saved`: a user saved it.

    Raises BadRequest for unknown names or an empty space, InvalidSpec for an invalid range.
    """
    chosen = get_network(network)
    check_names(chosen, "automl_add_hyperparameters", add)
    check_names(chosen, "automl_remove_hyperparameters", remove)
    ranges = user_ranges(chosen, document)
    table = chosen.table("train")
    default = merge.default(chosen, "train")
    whole = merge.over_default(chosen, "train", without_search(document))
    found: list[Dimension] = []
    notes: list[str] = []
    for path in dict.fromkeys([*table.automl, *add, *ranges]):
        if path in remove:
            continue
        asked_for = path in add or path in ranges
        if saved and not asked_for and _deleted(document, default, path):
            notes.append(f"{path} is not searched: it was deleted from the saved specification")
            continue
        other = merge.stands_for(chosen, whole, path)
        if other is not None:
            notes.append(f"{path} is not searched: the specification has {other}, and the tool reads only one of them")
            continue
        built = dimension(table, whole, path, ranges.get(path, Range()))
        if isinstance(built, str):
            notes.append(f"{path} keeps its default: {built}")
        else:
            found.append(built)
    if not found:
        raise BadRequest(_nothing(chosen.name, notes))
    return Space(_parents_first(_bound_by_others(table, found)), notes)


def dimension(table: Table, whole: merge.Document, path: str, given: Range) -> Dimension | str:
    """The dimension of one parameter, or why it cannot be searched."""
    row = table.rows[path]
    default = first_value(whole, path, row.default)
    options = given.values if given.values is not None else [*row.options]
    if row.type == "bool":
        return Dimension(path=path, kind="choice", choices=options or [False, True], default=default)
    if row.type == "string":
        if len(options) < 2:
            return f'it has no options to choose from; give some as {GROUP}: {{"{path}": {{"values": […]}}}}'
        return Dimension(path=path, kind="choice", choices=options, default=default)
    if options:
        kept = [one for one in options if _inside(one, given)]
        return Dimension(path=path, kind="ordered", choices=sorted(kept), default=default) if kept else "no option fits"
    if row.type not in ("int", "float"):
        return f"it is {_kind(row)}"
    return _number(row, default, given)


def first_value(document: Any, path: str, otherwise: Any = None) -> Any:
    """The value at a path; in lists, that of the first item that has one."""
    for index, name in enumerate(parts := path.split(".")):
        if isinstance(document, list):
            rest = ".".join(parts[index:])
            values = (first_value(item, rest) for item in document)
            return next((value for value in values if value is not None), otherwise)
        document = document.get(name) if isinstance(document, dict) else None
        if document is None:
            return otherwise
    return document


def _number(row: Parameter, default: Any, given: Range) -> Dimension | str:
    low = given.min if given.min is not None else row.minimum
    high = given.max if given.max is not None else row.maximum
    usable = isinstance(default, int | float) and not isinstance(default, bool) and default > 0
    whole = row.type == "int"
    factor = OPEN_INT if whole else OPEN_FLOAT
    far_below = usable and given.min is None and (low is None or low <= 0) and high is not None
    if (low is None or high is None) and not usable:
        return "its range is open and its default is no number above 0"
    if high is None:
        high = 1.0 if SURELY_A_FRACTION <= default < 1 and not whole else default * factor
        low = max(low, default / factor) if low is not None else default / factor
    elif low is None:
        low = default / factor
    elif far_below and not whole and default < high / DECADES:
        low, high = default / DECADES, min(high, default * DECADES)
    if whole:
        low, high = math.ceil(low), math.floor(high)
    if not low < high:
        return f"nothing lies between {low:g} and {high:g}"
    below, above = _rules(row)
    return Dimension(
        path=row.path,
        kind="int" if whole else "float",
        low=float(low),
        high=float(high),
        log=given.log if given.log is not None and low > 0 else low > 0 and high / low > DECADES * (1 - 1e-9),
        multiple_of=given.multiple_of or row.multiple_of,
        power_of=given.power_of or _power(row),
        default=default,
        below=below,
        above=above,
    )


def _rules(row: Parameter) -> tuple[list[str], list[str]]:
    below: list[str] = []
    above: list[str] = []
    for rule in row.compare:
        operator, _, other = rule.partition(" ")
        if operator in _ORDERS and not _is_number_text(other):
            (below if operator.startswith("<") else above).append(other)
    return below, above


def _bound_by_others(table: Table, found: list[Dimension]) -> list[Dimension]:
    """Add the bounds set by parameters that are not searched and must be below or above a searched one."""
    searched = {each.path for each in found}
    for rule in table.comparisons:
        if rule.other in searched and rule.path not in searched and rule.operator in _ORDERS:
            side = "above" if rule.operator.startswith("<") else "below"
            found = [
                msgspec.structs.replace(each, **{side: [*getattr(each, side), rule.path]})
                if each.path == rule.other
                else each
                for each in found
            ]
    return found


def _power(row: Parameter) -> int | None:
    found = [rule.partition(" ")[2] for rule in row.compare if rule.startswith("^ ")]
    return int(found[0]) if found and _is_number_text(found[0]) else None


def _parents_first(dimensions: list[Dimension]) -> list[Dimension]:
    by_path = {each.path: each for each in dimensions}
    ordered: dict[str, Dimension] = {}

    def put_after_conditions(one: Dimension, above: tuple[str, ...]) -> None:
        for other in (*one.below, *one.above):
            if other in by_path and other not in ordered and other not in above:
                put_after_conditions(by_path[other], (*above, one.path))
        ordered.setdefault(one.path, one)

    for each in dimensions:
        put_after_conditions(each, ())
    return list(ordered.values())


def _deleted(document: merge.Document, default: merge.Document, path: str) -> bool:
    """Whether the user deleted the parameter: it is null, or missing in a group of the saved specification."""
    if first_value(default, path) is None:
        return False
    above, _, name = path.rpartition(".")
    group: Any = document
    for part in above.split(".") if above else []:
        if isinstance(group, list):
            group = group[0] if group else None
        group = group.get(part) if isinstance(group, dict) else None
    if isinstance(group, list):
        group = group[0] if group else None
    return isinstance(group, dict) and group.get(name) is None


def _check_range(path: str, given: Range, row: Parameter) -> None:
    at = f"Invalid specs: $.{GROUP}.{path}"
    if given.min is not None and given.max is not None and given.min >= given.max:
        raise InvalidSpec(f"{at}: min {given.min:g} is not below max {given.max:g}")
    for name, value in (("min", given.min), ("max", given.max)):
        if value is None:
            continue
        if row.type not in ("int", "float"):
            raise InvalidSpec(f"{at}: {name} is for numbers, and it is {_kind(row)}; give values")
        if (row.minimum is not None and value < row.minimum) or (row.maximum is not None and value > row.maximum):
            low, high = (f"{end:g}" if end is not None else "…" for end in (row.minimum, row.maximum))
            raise InvalidSpec(f"{at}: {name} {value:g} lies outside of what the parameter may be, {low} to {high}")
    if given.log and given.min is not None and given.min <= 0:
        raise InvalidSpec(f"{at}: log needs a min above 0, not {given.min:g}")
    wrong = [one for one in given.values or [] if row.options and one not in row.options]
    if wrong or given.values == []:
        raise InvalidSpec(f"{at}: values {given.values} must be some of {row.options or 'the parameter’s values'}")


def _nearest(table: Table, name: str) -> str | None:
    """The searchable parameter with the most similar name."""
    near = nearest(table, name)
    usable = [path for path, row in table.rows.items() if not row.hidden and row.type not in ("list", "object", "any")]
    if near in usable:
        return near
    named = [path for path in usable if path.rpartition(".")[2] == name.rpartition(".")[2]]
    return next(iter(named or get_close_matches(name, usable, n=1, cutoff=0.3)), None)


def _inside(value: Any, given: Range) -> bool:
    if not isinstance(value, int | float):
        return True
    return (given.min is None or value >= given.min) and (given.max is None or value <= given.max)


def _nothing(network: str, notes: list[str]) -> str:
    why = f" ({'; '.join(notes)})" if notes else ""
    return (
        f"automl_enabled: there is nothing to search for {network}{why}; name parameters in "
        "automl_add_hyperparameters, or set automl_enabled to false"
    )


def _kind(row: Parameter) -> str:
    return "a constant" if row.const else _KINDS.get(row.type, f"a {row.type}")


def _is_number_text(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_KINDS = {"int": "a whole number", "float": "a number", "object": "a group", "any": "of no certain type"}
_KNOWN = ", ".join(Range.__struct_fields__)
