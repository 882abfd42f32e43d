"""README.md and docs/tools.md show what the evidence says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import tools_table


@pytest.mark.parametrize("path", [tools_table.README, tools_table.TOOLS], ids=lambda path: path.name)
def test_the_table_of_tools_is_that_of_the_evidence(path: Path) -> None:
    assert tools_table.written()[path] == path.read_text(encoding="utf-8"), "python -m tests.docs.tools_table"


def test_the_tables_have_rows_of_both_releases() -> None:
    table = tools_table.by_kind()
    assert "| classification_pyt | 5.0 | train, evaluate" in table
    assert "| classification_pyt | 7.3 | train, evaluate" in table
    assert "| rtdetr | ran | ran | ran |" in tools_table.by_action()
