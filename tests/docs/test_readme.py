"""The README shows what the evidence says."""

from __future__ import annotations

from tests.docs import tools_table


def test_the_table_of_tools_is_that_of_the_evidence() -> None:
    text = tools_table.README.read_text(encoding="utf-8")
    assert tools_table.written() == text, "python -m tests.docs.tools_table"
    assert "| classification_pyt | train, evaluate" in text
