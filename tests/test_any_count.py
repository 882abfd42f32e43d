"""How often the product's annotations say `Any`: the numbers may only fall."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST = {"runners": 81, "store": 22, "taod": 429, "tui": 71}
"""By package: as many as there were. Lower a number when a change removes some."""


def count(package: str) -> int:
    """The uses of the name `Any`; imports do not count."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / package).rglob("*.py"))
    return sum(isinstance(node, ast.Name) and node.id == "Any" for tree in trees for node in ast.walk(tree))


@pytest.mark.parametrize("package", MOST)
def test_any_becomes_no_more_frequent(package: str) -> None:
    assert count(package) <= MOST[package], f"{package}: annotate what was added with its type"
