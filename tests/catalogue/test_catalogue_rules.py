"""Comparisons and multiples of every table, satisfied and violated."""

from __future__ import annotations

from typing import Any

import pytest

from taod.catalogue.schema import merge
from taod.catalogue.schema.tables import Comparison, index, table
from taod.catalogue.schema.validate import check

RULES = [
    (name, action, rule) for name, entry in index().items() for action in entry.specs
    for rule in table(name, action).comparisons
]  # fmt: skip
MULTIPLES = [
    (name, action, path) for name, entry in index().items() for action in entry.specs
    for path, row in table(name, action).rows.items() if row.multiple_of
]  # fmt: skip
HOLDS = {
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
    "!=": lambda value, bound: value != bound,
    "/": lambda value, bound: value % bound == 0,
}


def values(name: str, action: str, path: str) -> list[float]:
    """Some values that the parameter may have by itself."""
    row = table(name, action).rows[path]
    low = row.minimum if row.minimum is not None else 0
    high = row.maximum if row.maximum is not None else low + 2000
    whole = row.type == "int"
    if whole:
        return sorted({int(low), int(low) + 1, (int(low) + int(high)) // 2, int(high) - 1, int(high)})
    return sorted({low, low + 1e-6, low + (high - low) * 0.25, low + (high - low) * 0.5, float(high)})


@pytest.mark.parametrize(("name", "action", "rule"), RULES, ids=str)
def test_rules_between_two_parameters(name: str, action: str, rule: Comparison) -> None:
    path = f"$.{rule.path}"
    seen = set()
    for value in values(name, action, rule.path):
        for bound in values(name, action, rule.other):
            document: dict[str, Any] = {}
            merge.put(document, rule.path, value)
            merge.put(document, rule.other, bound)
            mine = [
                v
                for v in check(name, action, document, strict=True).violations
                if v.path == path and rule.other in v.rule
            ]
            lowest = rule.operator == "<" and value == bound == table(name, action).rows[rule.path].minimum
            holds = lowest or HOLDS[rule.operator](value, bound if rule.operator != "/" else bound or 1)
            assert (mine == []) == holds, (value, bound, mine)
            if mine:
                assert mine[0].value == value and f"({bound})" in mine[0].rule
            seen.add(holds)
    assert seen == {True, False}


@pytest.mark.parametrize(("name", "action", "path"), MULTIPLES)
def test_multiples(name: str, action: str, path: str) -> None:
    row = table(name, action).rows[path]
    assert row.multiple_of is not None
    low = int(row.minimum or 0)
    fine = row.options[0] if row.options else -(-low // row.multiple_of) * row.multiple_of + row.multiple_of
    for value, ok in ((fine, True), (fine + 1, False)):
        document: dict[str, Any] = {}
        merge.put(document, path, value)
        mine = [v.rule for v in check(name, action, document, strict=True).violations if v.path == f"$.{path}"]
        assert (mine == []) == ok
    assert len(MULTIPLES) == 17 and len(RULES) == 59
