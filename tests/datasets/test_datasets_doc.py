"""docs/datasets.md: a row for each type and format with every path of its layout, and an error text as it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from taod.datasets.validation.layouts import RETAIL, layout
from tests.datasets.expected_texts import sections
from tests.datasets.valid_sets import VALID

DOC = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
TABLE = DOC.partition("\n## ")[0]
"""The layouts; the sections after it have tables of their own."""
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in TABLE.splitlines() if line.startswith("| ")]


def test_every_type_and_format_has_one_row() -> None:
    assert sorted((row[0], row[1]) for row in ROWS[1:]) == sorted(VALID)


@pytest.mark.parametrize(("type_", "format_"), VALID)
def test_a_row_has_the_paths_of_its_layout(type_: str, format_: str) -> None:
    needed, checked = next((row[2], row[3]) for row in ROWS if row[:2] == [type_, format_])
    for path in layout(type_, format_).paths():
        assert f"`{path.replace(RETAIL, '…')}`" in needed
    assert checked


def test_the_quoted_error_is_a_real_one() -> None:
    quoted = DOC.split("```\n")[1].rstrip("\n")
    assert quoted == sections("rejections.txt")["object_detection", "kitti", "labels in capitals"]
