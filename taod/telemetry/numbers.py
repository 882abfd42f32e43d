"""Reads numbers as tools write them: numbers, numeric text, NaN, objects around a number. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

LARGEST_COUNT = 2**53
"""Larger whole numbers are rejected: JSON readers would lose digits."""

DEEPEST = 8
"""Levels of nested objects that are read."""


class NoNumber(ValueError):
    """The value is not a number, so it is left out; NaN is a number and becomes null."""


def number(value: object) -> float | None:
    """The finite number in a value; None for null, NaN and infinities.

    Numbers, numeric text and `{"value": …}` are read. Raises NoNumber for anything else.
    """
    if isinstance(value, dict) and "value" in value:
        value = value["value"]
    if value is None:
        return None
    if not isinstance(value, int | float | str):
        raise NoNumber
    try:
        read = float(value)
    except OverflowError:
        return None
    except ValueError as error:
        raise NoNumber from error
    return read if math.isfinite(read) else None


def numbers(block: Mapping[str, object], *, depth: int = DEEPEST) -> dict[str, float | None]:
    """Every number in a block by name. Nested objects are flattened: `{"a": {"b": 1}}` is `a.b`; an object with a
    `value` is one number. Other values are left out."""
    read: dict[str, float | None] = {}
    for key, value in block.items():
        name = str(key).strip()
        if isinstance(value, dict) and "value" not in value:
            if depth:
                read.update({f"{name}.{below}": one for below, one in numbers(value, depth=depth - 1).items()})
            continue
        try:
            read[name] = number(value)
        except NoNumber:
            continue
    return read


def count(value: object) -> int | None:
    """The whole number in a value; None for any other value."""
    try:
        read = number(value)
    except NoNumber:
        return None
    return None if read is None or abs(read) > LARGEST_COUNT else int(read)
