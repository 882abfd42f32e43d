"""Readers and the full check, type by type: right datasets have no problem, wrong ones have one by file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taod.catalogue import Catalogue
from taod.datasets.formats.validate import ContentCheck
from taod.datasets.validation.structure import check
from taod.datasets.validation.summary import summarise
from tests.datasets.broken_contents import BROKEN, LATER
from tests.datasets.expected_texts import sections
from tests.datasets.valid_sets import VALID

LEAST = 3
PROBLEMS = sections("problems.txt")


def lines(top: Path, type_: str, format_: str) -> list[str]:
    """What a check that decodes every image finds, a line a problem."""
    report = ContentCheck(top, type_, format_, deep=True).run()
    assert report.problems == len(report.first)
    return [f"{each.file}:{each.line}: {each.what}; expected {each.expected}" for each in report.first]


def test_every_type_and_format_has_a_valid_set_here() -> None:
    catalogue = Catalogue()
    assert set(VALID) == {
        (type_, format_) for type_ in catalogue.dataset_types() for format_ in catalogue.dataset_formats(type_)
    }


@pytest.mark.parametrize(("type_", "format_"), VALID)
def test_a_right_dataset_is_accepted_and_has_no_problem(type_: str, format_: str, tmp_path: Path) -> None:
    VALID[type_, format_](tmp_path)
    assert check(tmp_path, type_, format_) == tmp_path
    summary = summarise(tmp_path, type_, format_)
    report = ContentCheck(tmp_path, type_, format_, deep=True).run()
    assert report.first == []
    assert report.problems == 0
    assert report.items > 0
    if summary.images and type_ not in ("action_recognition", "depth_net_stereo", "optical_inspection"):
        assert report.items == summary.images
    assert summary.boxes == report.boxes or type_ in ("bpnet", "fpenet")


def test_every_type_and_format_has_its_broken_sets() -> None:
    assert set(BROKEN) == set(VALID)
    assert [kind for kind, sets in BROKEN.items() if len(sets) < LEAST] == []
    assert set(PROBLEMS) == {(*kind, name) for kind, sets in BROKEN.items() for name in sets}


@pytest.mark.parametrize(
    ("type_", "format_", "name"), [(*kind, name) for kind, sets in BROKEN.items() for name in sets]
)
def test_a_fault_is_reported_by_file_and_line(type_: str, format_: str, name: str, tmp_path: Path) -> None:
    VALID[type_, format_](tmp_path)
    BROKEN[type_, format_][name](tmp_path)
    if not name.startswith(LATER):
        assert check(tmp_path, type_, format_) == tmp_path
    assert "\n".join(lines(tmp_path, type_, format_)) == PROBLEMS[type_, format_, name]


def test_inspection_paths_are_read_below_images_as_written(tmp_path: Path) -> None:
    """Given `images/board1` in the table, the tool opens images/images/board1."""
    VALID["optical_inspection", "default"](tmp_path / "set")
    top = tmp_path / "top"
    top.mkdir()
    (tmp_path / "set" / "images").rename(top / "images")
    (top / "images").rename(top / "inner")
    (top / "images").mkdir()
    (top / "inner").rename(top / "images" / "images")
    rows = [
        "input_path,golden_path,label,object_name",
        "images/board1/,images/golden,PASS,C1",
        "images,images,PASS,board2/C1",
    ]
    (top / "dataset.csv").write_text("\n".join(rows) + "\n")
    assert check(top, "optical_inspection", "default") == top
    assert lines(top, "optical_inspection", "default") == []


def test_coco_file_names_with_folders_are_accepted(tmp_path: Path) -> None:
    VALID["object_detection", "coco"](tmp_path)
    document = json.loads((tmp_path / "annotations.json").read_text())
    (tmp_path / "images" / "images").mkdir()
    (tmp_path / "images" / "1.jpg").rename(tmp_path / "images" / "images" / "1.jpg")
    document["images"][1]["file_name"] = "images/1.jpg"
    document["images"][2]["file_name"] = "./images/../2.jpg"
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    assert lines(tmp_path, "object_detection", "coco") == []
