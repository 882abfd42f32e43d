"""Dataset contents in a job's results, as the engine and NVIDIA's data services write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from taod.services.datasets.derived_datasets import find_dataset

KITTI = "roof 0 0 0 4.123456 5.5 24.654321 15.0 0 0 0 0 0 0 0\n"
COCO = (
    '{"annotations":[{"bbox":[4.123456,5.5,20.530865,9.5],"image_id":1,"scene_id":"unt","iscrowd":0,'
    '"area":195.0432175,"category_id":1,"id":1}],"images":[{"file_name":"0.jpg","scene_id":"unt","height":48,'
    '"width":48,"id":1}],"categories":[{"id":1,"name":"roof"}]}'
)
"""As the conversion of release 5.0 wrote them."""
STATUS = {"status.json": "{}\n"}


@pytest.mark.parametrize(
    ("files", "format_", "whole", "labels"),
    [
        ({"unt.json": COCO, "skipped_files.txt": "1.jpg"}, "coco", False, ["unt.json"]),
        ({"0.txt": KITTI, "1.txt": ""}, "kitti", False, ["0.txt", "1.txt"]),
        ({"annotations.json": COCO, "images/0.jpg": ""}, "coco", True, ["annotations.json"]),
        ({"annotations.json": COCO, "labels/": ""}, "coco", False, ["annotations.json"]),
        ({"labels/0.txt": KITTI, "images/0.jpg": ""}, "kitti", True, ["labels"]),
        ({"labels/0.txt": KITTI}, "kitti", False, ["labels"]),
        ({"labels/output.json": COCO, "images/0.jpg": ""}, "coco", False, ["labels/output.json"]),
        ({"label.json": COCO}, "coco", False, ["label.json"]),
        ({"images/train/0.jpg": "", "masks/train/0.png": ""}, "unet", True, []),
    ],
)
def test_labels_are_found_in_results(
    files: dict[str, str], format_: str, whole: bool, labels: list[str], tmp_path: Path
) -> None:
    _write(tmp_path, files | STATUS)
    left = find_dataset(tmp_path)
    assert left is not None
    assert (left.format, left.complete) == (format_, whole)
    assert [str(path.relative_to(tmp_path)) for path in left.labels] == labels


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"summary.json": '{"objects": 6}', "graphs/classes.png": ""},
        {"labels/": "", "images/0.jpg": ""},
        {"notes.txt": "three words here\n"},
        {"a.json": COCO, "b.json": COCO},
    ],
)
def test_results_without_labels_give_no_dataset(files: dict[str, str], tmp_path: Path) -> None:
    _write(tmp_path, files | STATUS)
    assert find_dataset(tmp_path) is None
    assert find_dataset(tmp_path / "gone") is None


def _write(top: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(content, encoding="utf-8")
