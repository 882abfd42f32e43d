"""Command lines and spec files of every action, against files that were read line by line when they were made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taod.catalogue.schema.tables import index
from tests.catalogue import golden


@pytest.mark.parametrize("name", golden.NAMES)
def test_each_action_is_run_as_written_down(name: str, tmp_path: Path) -> None:
    written = (golden.GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    made = golden.render(name, tmp_path)
    assert made.splitlines() == written.splitlines(), "python -m tests.catalogue.golden, then read the difference"


def test_every_action_is_there() -> None:
    assert {path.stem for path in golden.GOLDEN.glob("*.txt")} == set(golden.NAMES)
    for name in golden.NAMES:
        text = (golden.GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
        assert set(re.findall(r"^## (\w+)", text, re.MULTILINE)) == set(index()[name].actions)
