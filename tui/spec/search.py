"""Parameters and ranges of a sweep: the group `automl` of a specification. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from taod.client.comparison import MISSING
from tui.spec.fields import Draft, Field, InvalidValue, Path, written

GROUP = "automl"
Range = dict[str, Any]
"""Keys, all optional: `min`, `max`, `log`, `values`, `multiple_of`, `power_of`."""


@dataclass(frozen=True)
class Search:
    """Parameters that a model's sweep adds to the default ones, and removes."""

    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()

    def has(self, draft: Draft, field: Field) -> bool:
        """Whether the sweep searches this parameter."""
        if field.name in self.remove:
            return False
        return field.swept or field.name in self.add or searched_range(draft, field) is not None


def can_be_searched(field: Field) -> bool:
    """Whether a sweep can search it: a number, a boolean, or one of several options."""
    return "const" not in field.schema and (field.kind in ("integer", "number") or bool(field.options))


def range_path(field: Field) -> Path:
    """Path of a parameter's range in the specification."""
    return (GROUP, field.name)


def searched_range(draft: Draft, field: Field) -> Range | None:
    """Range of a parameter in the specification; None without one."""
    found = draft.changes.get(range_path(field), MISSING)
    if found is MISSING and range_path(field) not in draft.changes:
        group = draft.base.get(GROUP)
        found = group.get(field.name) if isinstance(group, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else None


def described(range: Range | None) -> str:
    """Description of a range: `1e-05 to 0.001, log`."""
    if not range:
        return ""
    if range.get("values") is not None:
        return "one of " + ", ".join(written(value) for value in range["values"])
    words = []
    if range.get("min") is not None or range.get("max") is not None:
        words.append(f"{_end(range.get('min'))} to {_end(range.get('max'))}")
    for name, word in (("multiple_of", "a multiple of"), ("power_of", "a power of")):
        if range.get(name) is not None:
            words.append(f"{word} {range[name]}")
    if range.get("log"):
        words.append("by orders of magnitude")
    return ", ".join(words)


def _end(value: Any) -> str:
    return "…" if value is None else f"{value:g}"


def read(field: Field, low: str, high: str, values: str, before: Range | None) -> Range | None:
    """The typed range; None if empty. Keys without a field (`log`, steps) are kept. Raises InvalidValue."""
    kept = {name: value for name, value in (before or {}).items() if name not in ("min", "max", "values")}
    if values.strip():
        try:
            found = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError:
            raise InvalidValue(f"{values!r} is not a list of values; write a, b, c") from None
        return {"values": [field.read(written(value)) for value in found]}
    ends = {name: _read_end(field, name, typed) for name, typed in (("min", low), ("max", high)) if typed.strip()}
    if len(ends) == 2 and ends["min"] >= ends["max"]:
        raise InvalidValue(f"from {low.strip()} to {high.strip()} is empty: the first must be below the second")
    return (kept | ends) or None if ends else None


def _read_end(field: Field, name: str, typed: str) -> Any:
    try:
        value = float(typed)
    except ValueError:
        raise InvalidValue(f"{typed.strip()!r} is not a number") from None
    low, high = field.schema.get("minimum"), field.schema.get("maximum")
    if value != value or (low is not None and value < low) or (high is not None and value > high):
        raise InvalidValue(f"{name} {typed.strip()} is out of range: {field.rule}")
    return int(value) if field.kind == "integer" and value.is_integer() else value
