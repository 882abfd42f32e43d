"""Command lines and specification files of every action, compared with reviewed golden files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taod.catalogue.schema.tables import index
from tests.catalogue import golden


@pytest.mark.parametrize("name", golden.NAMES)
def test_command_lines_and_spec_files_match_the_golden_files(name: str, tmp_path: Path) -> None:
    written = (golden.GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    made = golden.render(name, tmp_path)
    assert made.splitlines() == written.splitlines(), "python -m tests.catalogue.golden, then read the difference"


@pytest.mark.parametrize(("release", "name"), golden.LATER)
def test_command_lines_of_later_releases_match_the_golden_files(release: str, name: str, tmp_path: Path) -> None:
    written = (golden.GOLDEN / release / f"{name}.txt").read_text(encoding="utf-8")
    made = golden.render(name, tmp_path, release)
    assert made.splitlines() == written.splitlines(), "python -m tests.catalogue.golden, then read the difference"


def test_golden_files_cover_every_action() -> None:
    assert {path.stem for path in golden.GOLDEN.glob("*.txt")} == set(golden.NAMES)
    for name in golden.NAMES:
        text = (golden.GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
        assert set(re.findall(r"^## (\w+)", text, re.MULTILINE)) == set(index()[name].actions)
