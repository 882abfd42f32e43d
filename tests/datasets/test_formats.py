"""Readers and the full check, type by type: right data sets have no problem, wrong ones are told by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from taod.catalogue import Catalogue
from taod.datasets.formats.examine import Examination
from taod.datasets.structure import check
from taod.datasets.summary import summarise
from tests.datasets.broken_contents import BROKEN, LATER
from tests.datasets.told import sections
from tests.datasets.valid_sets import VALID

LEAST = 3
PROBLEMS = sections("problems.txt")


def lines(top: Path, type_: str, format_: str) -> list[str]:
    """What a check that decodes every picture finds, a line a problem."""
    report = Examination(top, type_, format_, deep=True).run()
    assert report.problems == len(report.first)
    return [f"{each.file}:{each.line}: {each.what}; expected {each.expected}" for each in report.first]


def test_every_type_and_format_has_a_valid_set_here() -> None:
    catalogue = Catalogue()
    assert set(VALID) == {
        (type_, format_) for type_ in catalogue.dataset_types() for format_ in catalogue.dataset_formats(type_)
    }


@pytest.mark.parametrize(("type_", "format_"), VALID)
def test_a_right_data_set_is_accepted_and_has_no_problem(type_: str, format_: str, tmp_path: Path) -> None:
    VALID[type_, format_](tmp_path)
    assert check(tmp_path, type_, format_) == tmp_path
    told = summarise(tmp_path, type_, format_)
    report = Examination(tmp_path, type_, format_, deep=True).run()
    assert report.first == []
    assert report.problems == 0
    assert report.items > 0
    if told.images and type_ not in ("action_recognition", "optical_inspection"):
        assert report.items == told.images
    assert told.boxes == report.boxes or type_ in ("bpnet", "fpenet")


def test_every_type_and_format_has_its_broken_sets() -> None:
    assert set(BROKEN) == set(VALID)
    assert [kind for kind, sets in BROKEN.items() if len(sets) < LEAST] == []
    assert set(PROBLEMS) == {(*kind, name) for kind, sets in BROKEN.items() for name in sets}


@pytest.mark.parametrize(
    ("type_", "format_", "name"), [(*kind, name) for kind, sets in BROKEN.items() for name in sets]
)
def test_what_is_wrong_is_told_by_file_and_line(type_: str, format_: str, name: str, tmp_path: Path) -> None:
    VALID[type_, format_](tmp_path)
    BROKEN[type_, format_][name](tmp_path)
    if not name.startswith(LATER):
        assert check(tmp_path, type_, format_) == tmp_path
    assert "\n".join(lines(tmp_path, type_, format_)) == PROBLEMS[type_, format_, name]
