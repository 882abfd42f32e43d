"""Converts between coordinates, which proposers use, and parameter values. Pure.

A number is scaled to 0 to 1; a choice is its index in the list. A bound that depends on another parameter moves with
it, so that for the proposer every dimension is a fixed interval and every point is valid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from taod.catalogue.schema import merge
from taod.types.sweep import Dimension, Values

_EDGE = 1e-9
"""Relative distance of a value from a bound that another parameter sets."""


def values(space: Iterable[Dimension], coordinates: Mapping[str, float], document: merge.Document) -> Values:
    """Coordinates → parameter values. Bounds set by parameters that are not searched are read from the document."""
    found: Values = {}
    for each in space:
        at = coordinates[each.path]
        if each.choices:
            found[each.path] = each.choices[min(round(at), len(each.choices) - 1)]
            continue
        low, high = _bounds(each, lambda path: found.get(path, merge.get(document, path)))
        found[each.path] = _snapped(each, _between(each, low, high, min(max(at, 0.0), 1.0)), low, high)
    return found


def coordinates(space: Iterable[Dimension], chosen: Mapping[str, Any], document: merge.Document) -> dict[str, float]:
    """Parameter values → coordinates; values outside of their range are clamped."""
    found: dict[str, float] = {}
    for each in space:
        value = chosen.get(each.path, each.default)
        if each.choices:
            found[each.path] = float(each.choices.index(value)) if value in each.choices else 0.0
            continue
        low, high = _bounds(each, lambda path: chosen.get(path, merge.get(document, path)))
        number = value if isinstance(value, int | float) else low
        found[each.path] = min(max(_share(each, low, high, float(number)), 0.0), 1.0)
    return found


def put(document: merge.Document, chosen: Values) -> merge.Document:
    """A copy of the document with the values set; a path through a list sets each of its items."""
    result = merge.merge(document, {})
    for path, value in chosen.items():
        result = _put(result, path.split("."), value)
    return result


def _put(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    if isinstance(document, list):
        return [_put(item, path, value) for item in document]
    group = dict(document) if isinstance(document, dict) else {}
    group[path[0]] = _put(group.get(path[0]), path[1:], value)
    return group


def _bounds(each: Dimension, other: Callable[[str], Any]) -> tuple[float, float]:
    assert each.low is not None and each.high is not None
    low, high = each.low, each.high
    for bound in (other(path) for path in each.below):
        if _is_number(bound):
            high = min(high, bound - abs(bound) * _EDGE)
    for bound in (other(path) for path in each.above):
        if _is_number(bound):
            low = max(low, bound + abs(bound) * _EDGE)
    if low >= high:
        # The other parameter excludes the whole range: use the values nearest to it.
        low = high - abs(high) / 2 if each.below else low
        high = max(high, low)
    return low, high


def _between(each: Dimension, low: float, high: float, share: float) -> float:
    if each.log and low > 0:
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low + share * (high - low)


def _share(each: Dimension, low: float, high: float, value: float) -> float:
    if high <= low:
        return 0.5
    if each.log and low > 0:
        return (math.log(max(value, low)) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


def _snapped(each: Dimension, value: float, low: float, high: float) -> float | int:
    if each.power_of is not None and each.power_of > 1:
        value = each.power_of ** round(math.log(max(value, 1.0), each.power_of))
        while value > high and value > 1:
            value /= each.power_of
    if each.multiple_of is not None:
        step = each.multiple_of
        value = min(max(round(value / step) * step, math.ceil(low / step) * step), math.floor(high / step) * step)
    if each.kind == "int":
        return int(min(max(round(value), math.ceil(low)), max(math.floor(high), math.ceil(low))))
    return float(min(max(value, low), high)) if each.power_of is None and each.multiple_of is None else float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
